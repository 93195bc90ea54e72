/** Says whether a writer writes to a socket, where the permission model keeps it from Node's bindings. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { DirectWriter } from '../../src/event/direct-writer.ts';

const server = createServer((socket) => socket.resume());
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
await once(socket, 'connect');
const written = new DirectWriter(socket, { onDrain() {} }).writeText('x');
process.send?.(written, () => process.exit());
