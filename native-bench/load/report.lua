-- Makes wrk print what it counted in one line that a program can read, in microseconds and bytes.
-- It has no `response` function: wrk would call it for every answer.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nportico-bench {"requests":%d,"duration":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end

-- wrk calls this before it builds its request. Arguments after `--`: how many bytes of body to upload with each request, 0 for none.
function init(arguments)
  local length = tonumber(arguments[1] or "0")
  if length > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("x", length)
  end
end
