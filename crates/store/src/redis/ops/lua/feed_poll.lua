-- What was appended since the last look, and the mark of this life of the store.
-- KEYS: revoked, rebound, birth mark. ARGV: last id of revoked, of rebound, most entries of each, a new mark, milliseconds to live.
local mark = redis.call('GET', KEYS[3])
if not mark then
  mark = ARGV[4]
  redis.call('SET', KEYS[3], mark, 'PX', ARGV[5])
elseif redis.call('PTTL', KEYS[3]) < tonumber(ARGV[5]) / 2 then
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
return {
  mark,
  redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[3]),
  redis.call('XRANGE', KEYS[2], '(' .. ARGV[2], '+', 'COUNT', ARGV[3]),
}
