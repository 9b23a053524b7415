// Photos through a Redis Cluster with node-redis (npm install redis).
//
//     node node_redis.mjs 127.0.0.1:7000 photo.jpg …      a batch; then each photo whose name comes on standard input
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCluster } from 'redis';

const [address, ...paths] = process.argv.slice(2);
const cluster = createCluster({ rootNodes: [{ url: `redis://${address}` }], RESP: 3 });
cluster.on('error', () => {}); // a node that has gone; every call says so itself
await cluster.connect();

const keyOf = (photo) => 'image:' + createHash('sha256').update(photo).digest('hex');

// The first argument tells node-redis the key, and so the node; the second whether a replica may answer.
const recognize = (photo, ...options) => {
  const key = keyOf(photo);
  return cluster.sendCommand(key, false, ['IMAGE.RECOGNIZE', key, photo, ...options]);
};
const get = (key, ...options) => cluster.sendCommand(key, true, ['IMAGE.GET', key, ...options]);

// Asks first, and uploads only on a miss; asks again where that can help.
async function recognise(photo) {
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      return (await get(keyOf(photo))) ?? (await recognize(photo));
    } catch (error) {
      const word = error.message.split(' ')[0];
      // BADIMAGE and the like: the same again would give the same.
      if (['BADIMAGE', 'NOMODEL', 'WRONGTYPE', 'NOPERM', 'ERR', 'FAILED'].includes(word)) return error.message;
    }
    await sleep(100 * 2 ** attempt);
  }
  return `${keyOf(photo)}: given up`;
}

// A batch: NOWAIT queues, GET … WAIT collects. node-redis pipelines to each node what is sent without waiting.
async function recogniseAll(photos) {
  const accepted = photos.map((photo) => recognize(photo, 'NOWAIT'));
  const results = photos.map((photo) => get(keyOf(photo), 'WAIT', '30000'));
  const settled = await Promise.allSettled([...accepted, ...results]);
  // QUEUEFULL and the like are told at once, everything later by GET.
  return photos.map((_, i) => {
    const failed = [settled[i], settled[photos.length + i]].find(({ status }) => status === 'rejected');
    return failed ? failed.reason.message : settled[photos.length + i].value;
  });
}

const photos = paths.map((path) => readFileSync(path));
(await recogniseAll(photos)).forEach((result, i) => console.log(['batch', basename(paths[i]), result].join('\t')));

console.log(['get', basename(paths[0]), await get(keyOf(photos[0]))].join('\t'));
// RESP3 has maps, which node-redis gives as an object.
const meta = await recognize(photos[0], 'WITHMETA');
console.log(['meta', basename(paths[0]), meta.source, meta.sha256].join('\t'));

for await (const path of createInterface({ input: process.stdin })) {
  console.log(['photo', basename(path), await recognise(readFileSync(path))].join('\t'));
}
cluster.destroy();
