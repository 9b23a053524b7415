# Photos with redis-rb (Debian: ruby-redis), on one server and on a cluster.
#
#     ruby redis_rb.rb 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input
require 'digest'
require 'redis'

PATIENCE = 60 # seconds: longer than a request may wait
PASSING = %w[QUEUEFULL TIMEOUT UNBLOCKED CLUSTERDOWN TRYAGAIN READONLY LOADING MASTERDOWN].freeze

$stdout.sync = true
address, *paths = ARGV
url = "redis://#{address}"
one = Redis.new(url: url, timeout: PATIENCE)
is_cluster = one.call('INFO', 'cluster').include?('cluster_enabled:1')
SERVER = is_cluster ? Redis.new(cluster: [url], timeout: PATIENCE) : one

def key_of(photo)
  "image:#{Digest::SHA256.hexdigest(photo)}"
end

# Asks first, and uploads only on a miss; asks again where that can help.
def recognise(photo)
  key = key_of(photo)
  10.times do |attempt|
    return SERVER.call('IMAGE.GET', key) || SERVER.call('IMAGE.RECOGNIZE', key, photo)
  rescue Redis::CommandError => e
    return e.message unless PASSING.include?(e.message.split.first)

    sleep(0.1 * 2**attempt)
  rescue Redis::BaseError
    sleep(0.1 * 2**attempt)
  end
  "#{key}: given up"
end

def tell(step, path, *values)
  puts [step, File.basename(path), *values].join("\t")
end

photos = paths.map { |path| File.binread(path) }
# A batch: NOWAIT queues all, then each is waited for.
photos.each do |photo|
  SERVER.call('IMAGE.RECOGNIZE', key_of(photo), photo, 'NOWAIT')
rescue Redis::BaseError
  # It is told below.
end
photos.zip(paths) do |photo, path|
  result = begin
    SERVER.call('IMAGE.GET', key_of(photo), 'WAIT', 30_000) || recognise(photo)
  rescue Redis::BaseError => e
    e.message
  end
  tell('batch', path, result)
end
tell('get', paths[0], SERVER.call('IMAGE.GET', key_of(photos[0])))
meta = Hash[*SERVER.call('IMAGE.RECOGNIZE', key_of(photos[0]), photos[0], 'WITHMETA')]
tell('meta', paths[0], meta['source'], meta['sha256'])
$stdin.each_line { |path| tell('photo', path.chomp, recognise(File.binread(path.chomp))) }
