/** A certificate and those that vouch for it (RFC 5280 6). */
import type { DetailedPeerCertificate } from 'node:tls';

/**
 * How many certificates stand between the other side's own and its root, which `ssl_verify_depth` and its kin set a limit
 * to: those it has sent, and those that are known here.
 *
 * @param certificate its own: `getPeerCertificate(true)`, as in an X509Certificate's chain a root that was not sent is
 *   missing. A socket is to be asked once only: in Node 24 each call takes one away from the chain that the next one finds
 * @returns -1 where it is its own root
 */
export function countIntermediates(certificate: DetailedPeerCertificate): number {
  let length = 0;
  for (let next: DetailedPeerCertificate | undefined = certificate; next !== undefined; ) {
    length++;
    const issuer: DetailedPeerCertificate | undefined = next.issuerCertificate;
    // A root is its own issuer.
    next = issuer?.fingerprint256 === next.fingerprint256 ? undefined : issuer;
  }
  return length - 2;
}
