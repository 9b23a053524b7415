<?php
// Photos with phpredis (Debian: php-cli, php-redis), on one server and on a cluster.
//
//     php phpredis.php 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input

const PATIENCE = 60; // seconds: longer than a request may wait

[$host, $port] = explode(':', $argv[1]);
$paths = array_slice($argv, 2);

$one = new Redis();
$one->connect($host, (int) $port, PATIENCE, null, 0, PATIENCE);
$is_cluster = str_contains($one->rawCommand('INFO', 'cluster'), 'cluster_enabled:1');
$server = $is_cluster ? new RedisCluster(null, ["$host:$port"], PATIENCE, PATIENCE) : $one;

/** phpredis follows neither MOVED nor ASK for rawCommand, nor a failover: it has to look again who has which slots. */
function look_again(): void {
    global $server, $is_cluster;
    if (!$is_cluster) {
        return;
    }
    static $known = [];
    foreach ($server->_masters() as [$host, $port]) {
        $known["$host:$port"] = true;
    }
    foreach (array_keys($known) as $node) {
        try {
            $server = new RedisCluster(null, [$node], PATIENCE, PATIENCE);
            return;
        } catch (RedisClusterException) {
            // This one has gone.
        }
    }
}

/** In a cluster the first argument of rawCommand is the key by which phpredis finds the node. */
function ask(string $name, string $key, ...$rest) {
    global $server, $is_cluster;
    $server->clearLastError();
    $reply = $is_cluster ? $server->rawCommand($key, $name, $key, ...$rest) : $server->rawCommand($name, $key, ...$rest);
    // Nil and errors are both false.
    $error = $server->getLastError();
    return $error === null ? $reply : throw new Exception($error);
}

function key_of(string $photo): string {
    return 'image:' . hash('sha256', $photo);
}

/** Asks first, and uploads only on a miss; asks again where that can help. */
function recognise(string $photo): string {
    $key = key_of($photo);
    for ($attempt = 0; $attempt < 10; $attempt++) {
        try {
            $result = ask('IMAGE.GET', $key);
            $result = is_string($result) ? $result : ask('IMAGE.RECOGNIZE', $key, $photo);
            if (is_string($result)) {
                return $result;
            }
            // Neither a result nor an error: the connection was lost.
        } catch (Exception $error) {
            $word = explode(' ', $error->getMessage())[0];
            if (in_array($word, ['BADIMAGE', 'NOMODEL', 'WRONGTYPE', 'NOPERM', 'ERR', 'FAILED'])) {
                return $error->getMessage();
            }
        }
        usleep(100000 * 2 ** $attempt);
        look_again();
    }
    return "$key: given up";
}

function tell(string $step, string $path, ...$values): void {
    echo implode("\t", [$step, basename($path), ...$values]), "\n";
}

// A batch: NOWAIT queues all, then each is waited for.
foreach ($paths as $path) {
    try {
        $photo = file_get_contents($path);
        ask('IMAGE.RECOGNIZE', key_of($photo), $photo, 'NOWAIT');
    } catch (Exception) {
        // It is told below.
    }
}
foreach ($paths as $path) {
    $photo = file_get_contents($path);
    try {
        $result = ask('IMAGE.GET', key_of($photo), 'WAIT', '30000');
    } catch (Exception $error) {
        $result = $error->getMessage();
    }
    tell('batch', $path, $result !== false ? $result : recognise($photo));
}
$photo = file_get_contents($paths[0]);
tell('get', $paths[0], ask('IMAGE.GET', key_of($photo)));
$flat = ask('IMAGE.RECOGNIZE', key_of($photo), $photo, 'WITHMETA');
$meta = array_combine(...array_map(fn ($first) => array_values(array_filter(
    $flat, fn ($i) => $i % 2 === $first, ARRAY_FILTER_USE_KEY)), [0, 1]));
tell('meta', $paths[0], $meta['source'], $meta['sha256']);
while (($path = fgets(STDIN)) !== false) {
    tell('photo', trim($path), recognise(file_get_contents(trim($path))));
}
