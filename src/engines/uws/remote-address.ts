/** A client's address as uWebSockets.js gives it. */
import { formatIPv4, formatIPv6 } from '../../http/ip-address.ts';

/** In text: of four bytes or sixteen; `unix:` for none. */
export function addressText(bytes: ArrayBuffer): string {
  const view = new DataView(bytes);
  if (view.byteLength === 4) return formatIPv4(view.getUint32(0));
  if (view.byteLength !== 16) return 'unix:';
  const groups = new Uint16Array(8);
  for (let index = 0; index < 8; index++) groups[index] = view.getUint16(index * 2);
  return formatIPv6(groups);
}
