import { latin1Text } from './latin1.ts';

/** Methods that nginx's configuration can name (`limit_except`, `dav_methods` ...). */
export const NAMED_METHODS: readonly string[] = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'MKCOL',
  'COPY',
  'MOVE',
  'OPTIONS',
  'PROPFIND',
  'PROPPATCH',
  'LOCK',
  'UNLOCK',
  'PATCH',
];

const COMMON_METHODS: readonly string[] = [...NAMED_METHODS, 'TRACE', 'CONNECT'];

/** The method in bytes[start, end) (RFC 9110 9). Common ones come without a new string. */
export function methodText(bytes: Buffer, start: number, end: number): string {
  const length = end - start;
  const first = bytes[start];
  if (length === 3 && first === 71 && bytes[start + 1] === 69 && bytes[start + 2] === 84) return 'GET';
  next: for (const method of COMMON_METHODS) {
    if (method.length !== length) continue;
    for (let i = 0; i < length; i++) if (bytes[start + i] !== method.charCodeAt(i)) continue next;
    return method;
  }
  return latin1Text(bytes, start, end);
}
