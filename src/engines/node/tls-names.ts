/** The names OpenSSL has for the numbers in a ClientHello. */

/** IANA numbers of cipher suites, and OpenSSL's names for those that it can still speak. */
const CIPHER_SUITES: ReadonlyMap<number, string> = new Map([
  [0x000a, 'DES-CBC3-SHA'],
  [0x002f, 'AES128-SHA'],
  [0x0032, 'DHE-DSS-AES128-SHA'],
  [0x0033, 'DHE-RSA-AES128-SHA'],
  [0x0035, 'AES256-SHA'],
  [0x0038, 'DHE-DSS-AES256-SHA'],
  [0x0039, 'DHE-RSA-AES256-SHA'],
  [0x003c, 'AES128-SHA256'],
  [0x003d, 'AES256-SHA256'],
  [0x0040, 'DHE-DSS-AES128-SHA256'],
  [0x0041, 'CAMELLIA128-SHA'],
  [0x0045, 'DHE-RSA-CAMELLIA128-SHA'],
  [0x0067, 'DHE-RSA-AES128-SHA256'],
  [0x006a, 'DHE-DSS-AES256-SHA256'],
  [0x006b, 'DHE-RSA-AES256-SHA256'],
  [0x0084, 'CAMELLIA256-SHA'],
  [0x0088, 'DHE-RSA-CAMELLIA256-SHA'],
  [0x008c, 'PSK-AES128-CBC-SHA'],
  [0x008d, 'PSK-AES256-CBC-SHA'],
  [0x009c, 'AES128-GCM-SHA256'],
  [0x009d, 'AES256-GCM-SHA384'],
  [0x009e, 'DHE-RSA-AES128-GCM-SHA256'],
  [0x009f, 'DHE-RSA-AES256-GCM-SHA384'],
  [0x00a2, 'DHE-DSS-AES128-GCM-SHA256'],
  [0x00a3, 'DHE-DSS-AES256-GCM-SHA384'],
  [0x00a8, 'PSK-AES128-GCM-SHA256'],
  [0x00a9, 'PSK-AES256-GCM-SHA384'],
  [0x00aa, 'DHE-PSK-AES128-GCM-SHA256'],
  [0x00ab, 'DHE-PSK-AES256-GCM-SHA384'],
  [0x00ba, 'CAMELLIA128-SHA256'],
  [0x00be, 'DHE-RSA-CAMELLIA128-SHA256'],
  [0x00c0, 'CAMELLIA256-SHA256'],
  [0x00c4, 'DHE-RSA-CAMELLIA256-SHA256'],
  [0x00ff, 'TLS_EMPTY_RENEGOTIATION_INFO_SCSV'],
  [0x1301, 'TLS_AES_128_GCM_SHA256'],
  [0x1302, 'TLS_AES_256_GCM_SHA384'],
  [0x1303, 'TLS_CHACHA20_POLY1305_SHA256'],
  [0x1304, 'TLS_AES_128_CCM_SHA256'],
  [0x1305, 'TLS_AES_128_CCM_8_SHA256'],
  [0x5600, 'TLS_FALLBACK_SCSV'],
  [0xc009, 'ECDHE-ECDSA-AES128-SHA'],
  [0xc00a, 'ECDHE-ECDSA-AES256-SHA'],
  [0xc013, 'ECDHE-RSA-AES128-SHA'],
  [0xc014, 'ECDHE-RSA-AES256-SHA'],
  [0xc01d, 'SRP-AES-128-CBC-SHA'],
  [0xc01e, 'SRP-RSA-AES-128-CBC-SHA'],
  [0xc020, 'SRP-AES-256-CBC-SHA'],
  [0xc021, 'SRP-RSA-AES-256-CBC-SHA'],
  [0xc023, 'ECDHE-ECDSA-AES128-SHA256'],
  [0xc024, 'ECDHE-ECDSA-AES256-SHA384'],
  [0xc027, 'ECDHE-RSA-AES128-SHA256'],
  [0xc028, 'ECDHE-RSA-AES256-SHA384'],
  [0xc02b, 'ECDHE-ECDSA-AES128-GCM-SHA256'],
  [0xc02c, 'ECDHE-ECDSA-AES256-GCM-SHA384'],
  [0xc02f, 'ECDHE-RSA-AES128-GCM-SHA256'],
  [0xc030, 'ECDHE-RSA-AES256-GCM-SHA384'],
  [0xc050, 'ARIA128-GCM-SHA256'],
  [0xc051, 'ARIA256-GCM-SHA384'],
  [0xc052, 'DHE-RSA-ARIA128-GCM-SHA256'],
  [0xc053, 'DHE-RSA-ARIA256-GCM-SHA384'],
  [0xc05c, 'ECDHE-ECDSA-ARIA128-GCM-SHA256'],
  [0xc05d, 'ECDHE-ECDSA-ARIA256-GCM-SHA384'],
  [0xc060, 'ECDHE-ARIA128-GCM-SHA256'],
  [0xc061, 'ECDHE-ARIA256-GCM-SHA384'],
  [0xc072, 'ECDHE-ECDSA-CAMELLIA128-SHA256'],
  [0xc073, 'ECDHE-ECDSA-CAMELLIA256-SHA384'],
  [0xc076, 'ECDHE-RSA-CAMELLIA128-SHA256'],
  [0xc077, 'ECDHE-RSA-CAMELLIA256-SHA384'],
  [0xc09c, 'AES128-CCM'],
  [0xc09d, 'AES256-CCM'],
  [0xc09e, 'DHE-RSA-AES128-CCM'],
  [0xc09f, 'DHE-RSA-AES256-CCM'],
  [0xc0a0, 'AES128-CCM8'],
  [0xc0a1, 'AES256-CCM8'],
  [0xc0a2, 'DHE-RSA-AES128-CCM8'],
  [0xc0a3, 'DHE-RSA-AES256-CCM8'],
  [0xc0ac, 'ECDHE-ECDSA-AES128-CCM'],
  [0xc0ad, 'ECDHE-ECDSA-AES256-CCM'],
  [0xc0ae, 'ECDHE-ECDSA-AES128-CCM8'],
  [0xc0af, 'ECDHE-ECDSA-AES256-CCM8'],
  [0xcca8, 'ECDHE-RSA-CHACHA20-POLY1305'],
  [0xcca9, 'ECDHE-ECDSA-CHACHA20-POLY1305'],
  [0xccaa, 'DHE-RSA-CHACHA20-POLY1305'],
]);

const GROUPS: ReadonlyMap<number, string> = new Map([
  [0x0015, 'secp224r1'],
  [0x0016, 'secp256k1'],
  [0x0017, 'prime256v1'],
  [0x0018, 'secp384r1'],
  [0x0019, 'secp521r1'],
  [0x001a, 'brainpoolP256r1'],
  [0x001b, 'brainpoolP384r1'],
  [0x001c, 'brainpoolP512r1'],
  [0x001d, 'X25519'],
  [0x001e, 'X448'],
  [0x0100, 'ffdhe2048'],
  [0x0101, 'ffdhe3072'],
  [0x0102, 'ffdhe4096'],
  [0x0103, 'ffdhe6144'],
  [0x0104, 'ffdhe8192'],
  [0x0200, 'MLKEM512'],
  [0x0201, 'MLKEM768'],
  [0x0202, 'MLKEM1024'],
  [0x11eb, 'SecP256r1MLKEM768'],
  [0x11ec, 'X25519MLKEM768'],
  [0x11ed, 'SecP384r1MLKEM1024'],
]);

/** Names of the numbers in a list, joined by colons. @param list two bytes for each number, as latin1 */
function names(list: string, known: ReadonlyMap<number, string>): string {
  let text = '';
  for (let index = 0; index + 1 < list.length; index += 2) {
    const number = (list.charCodeAt(index) << 8) | list.charCodeAt(index + 1);
    if (index > 0) text += ':';
    text += known.get(number) ?? `0x${number.toString(16).padStart(4, '0')}`;
  }
  return text;
}

/** `$ssl_ciphers` */
export function cipherSuiteNames(list: string): string {
  return names(list, CIPHER_SUITES);
}

/** `$ssl_curves` */
export function groupNames(list: string): string {
  return names(list, GROUPS);
}

/** `$ssl_curve`; '' for 0. */
export function groupName(number: number): string {
  return number === 0 ? '' : names(String.fromCharCode(number >> 8, number & 255), GROUPS);
}

const NO_NAMES: ReadonlyMap<number, string> = new Map();

/** `$ssl_sigalgs`: nginx shows numbers with the OpenSSL it is usually built with. */
export function signatureAlgorithmNumbers(list: string): string {
  return names(list, NO_NAMES);
}
