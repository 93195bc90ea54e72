import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import { createCertificate } from '../../../scripts/x509.ts';
import { readDer } from '../../../src/http/der.ts';
import { certificateNames, onelineName, rfc2253Name } from '../../../src/modules/ssl/distinguished-name.ts';

// ---- DER of a name ----

function element(tag: number, ...contents: (Buffer | number[])[]): Buffer {
  const body = Buffer.concat(contents.map((content) => Buffer.from(content)));
  return Buffer.concat([
    Buffer.from(body.length < 128 ? [tag, body.length] : [tag, 0x81, body.length]),
    body,
  ]);
}

const TYPES = {
  CN: [0x55, 4, 3],
  C: [0x55, 4, 6],
  O: [0x55, 4, 10],
  DC: [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
  emailAddress: [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
  unknown: [0x2a, 0x03, 0x04],
};

type Attribute = readonly [type: keyof typeof TYPES, tag: number, value: Buffer | string];

/** A name of sets of attributes. */
function nameOf(...sets: readonly (readonly Attribute[])[]): { rfc2253: string; oneline: string } {
  const der = element(
    0x30,
    ...sets.map((attributes) =>
      element(
        0x31,
        ...attributes.map(([type, tag, value]) =>
          element(0x30, element(6, TYPES[type]), element(tag, Buffer.from(value as Buffer))),
        ),
      ),
    ),
  );
  const name = readDer(der, 0);
  return { rfc2253: rfc2253Name(der, name), oneline: onelineName(der, name) };
}

const UTF8 = 12;
const PRINTABLE = 19;
const IA5 = 22;
const BMP = 30;

describe('names in certificates', () => {
  test('the last part comes first in RFC 2253, and last in one line', () => {
    assert.deepEqual(
      nameOf(
        [['C', PRINTABLE, 'DE']],
        [['O', UTF8, 'Example']],
        [['CN', UTF8, 'www']],
        [['emailAddress', IA5, 'a@b']],
      ),
      {
        rfc2253: 'emailAddress=a@b,CN=www,O=Example,C=DE',
        oneline: '/C=DE/O=Example/CN=www/emailAddress=a@b',
      },
    );
  });

  test('parts that stand in one set are joined by a plus', () => {
    assert.deepEqual(
      nameOf(
        [['O', UTF8, 'x']],
        [
          ['CN', UTF8, 'a'],
          ['DC', IA5, 'b'],
        ],
      ),
      {
        rfc2253: 'DC=b+CN=a,O=x',
        oneline: '/O=x/CN=a/DC=b',
      },
    );
  });

  test('characters that mean something are escaped, and so are bytes beyond ASCII', () => {
    assert.equal(
      nameOf([['CN', UTF8, '#a,b+c"d\\e<f>g;h ']]).rfc2253,
      'CN=\\#a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h\\ ',
    );
    assert.equal(nameOf([['CN', UTF8, ' ']]).rfc2253, 'CN=\\ ');
    assert.deepEqual(nameOf([['CN', UTF8, 'ä\n']]), {
      rfc2253: 'CN=\\C3\\A4\\0A',
      oneline: '/CN=\\xC3\\xA4\\x0A',
    });
    assert.equal(nameOf([['CN', BMP, Buffer.from([0, 0xe4, 0, 0x62])]]).rfc2253, 'CN=\\C3\\A4b');
  });

  test('a part without a name is shown by its number, its value as DER', () => {
    assert.deepEqual(nameOf([['unknown', UTF8, 'ab']]), {
      rfc2253: '1.2.3.4=#0C026162',
      oneline: '/1.2.3.4=ab',
    });
  });

  test('subject and issuer are found in a certificate', () => {
    const authority = createCertificate({ name: 'authority', authority: true });
    const { raw } = new X509Certificate(createCertificate({ name: 'host', issuer: authority }).certificate);
    const { subject, issuer } = certificateNames(raw);
    assert.equal(rfc2253Name(raw, subject), 'CN=host');
    assert.equal(rfc2253Name(raw, issuer), 'CN=authority');
  });
});
