/**
 * Directives of nginx's HTTP core that tune what is not there to be tuned: they may stand where they stand in nginx,
 * their arguments are checked as nginx checks them, and the table of directives says why they mean nothing here.
 */
import { accepted, flag, number, type ReadContext, size } from '../config/directive.ts';

const HTTP = ['http'];
const HTTP_SERVER = ['http', 'server'];
const HTTP_SERVER_LOCATION = ['http', 'server', 'location'];

const POOLS = 'Memory is managed by the JavaScript engine.';
const HASHES = 'Tables size themselves.';

/** What nginx asks of a pool's size: room for its own header, and alignment. */
const LEAST_POOL = 112;
const POOL_ALIGNMENT = 16;

function checkPoolSize(bytes: number, report: ReadContext): void {
  if (bytes < LEAST_POOL) report.fail(`the pool size must be no less than ${LEAST_POOL}`);
  if (bytes % POOL_ALIGNMENT !== 0) report.fail(`the pool size must be a multiple of ${POOL_ALIGNMENT}`);
}

export const tuningDirectives = {
  connection_pool_size: accepted(HTTP_SERVER, [1, 1], POOLS, {
    as: size([], 512, { check: checkPoolSize }),
  }),
  request_pool_size: accepted(HTTP_SERVER, [1, 1], POOLS, { as: size([], 4096, { check: checkPoolSize }) }),
  client_body_in_single_buffer: accepted(
    HTTP_SERVER_LOCATION,
    [1, 1],
    '`$request_body` is always in one piece.',
    { as: flag([], false) },
  ),
  variables_hash_max_size: accepted(HTTP, [1, 1], HASHES, { as: number([], 1024) }),
  variables_hash_bucket_size: accepted(HTTP, [1, 1], HASHES, { as: number([], 64) }),
  server_names_hash_max_size: accepted(HTTP, [1, 1], HASHES, { as: number([], 512) }),
  server_names_hash_bucket_size: accepted(HTTP, [1, 1], HASHES, { as: number([], 64) }),
  types_hash_max_size: accepted(HTTP_SERVER_LOCATION, [1, 1], HASHES, { as: number([], 1024) }),
  types_hash_bucket_size: accepted(HTTP_SERVER_LOCATION, [1, 1], HASHES, { as: number([], 64) }),
  tcp_nopush: accepted(HTTP_SERVER_LOCATION, [1, 1], 'Head and body leave in one write wherever they can.', {
    as: flag([], false),
  }),
  postpone_output: accepted(
    HTTP_SERVER_LOCATION,
    [1, 1],
    'What one turn of the event loop makes leaves together.',
    { as: size([], 1460) },
  ),
  send_lowat: accepted(HTTP_SERVER_LOCATION, [1, 1], 'Only FreeBSD has it.', { as: size([], 0) }),
};
