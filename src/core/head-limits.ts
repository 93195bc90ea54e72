/** What a server's settings mean to the parser of request heads. */
import type { RequestHeadLimits } from '../http/request-head.ts';
import type { Server } from './site.ts';

/** The limits of one server. */
export function requestHeadLimits({ settings }: Server): RequestHeadLimits {
  return {
    clientHeaderBufferSize: settings.client_header_buffer_size,
    largeBufferCount: settings.large_client_header_buffers.number,
    largeBufferSize: settings.large_client_header_buffers.size,
    maxHeaders: settings.max_headers,
    ignoreInvalidHeaders: settings.ignore_invalid_headers,
    underscoresInHeaders: settings.underscores_in_headers,
    mergeSlashes: settings.merge_slashes,
  };
}
