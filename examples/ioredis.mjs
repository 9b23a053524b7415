// Photos through a Redis Cluster with ioredis (npm install ioredis).
//
//     node ioredis.mjs 127.0.0.1:7000 photo.jpg …      a batch; then each photo whose name comes on standard input
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import calculateSlot from 'cluster-key-slot'; // ioredis brings it along
import { Cluster, Command } from 'ioredis';

const [address, ...paths] = process.argv.slice(2);
const [host, port] = address.split(':');
const cluster = new Cluster([{ host, port: Number(port) }], {
  redisOptions: { replyMapping: 'resp3' }, // maps as objects
});
cluster.on('error', () => {}); // a node that has gone; every call says so itself

const keyOf = (photo) => 'image:' + createHash('sha256').update(photo).digest('hex');

// cluster.call() works too, but ioredis doesn't know where a module's command has its key: it sends the photo to any
// node, and again to the one that MOVED names.
function call(name, key, ...rest) {
  const command = new Command(name, [key, ...rest], { replyEncoding: 'utf8' });
  command.slot = calculateSlot(key);
  return cluster.sendCommand(command);
}
const recognize = (photo, ...options) => call('IMAGE.RECOGNIZE', keyOf(photo), photo, ...options);
const get = (key, ...options) => call('IMAGE.GET', key, ...options);

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

// A batch: NOWAIT queues, GET … WAIT collects. What is sent to a node without waiting goes there in one stream.
async function recogniseAll(photos) {
  const accepted = photos.map((photo) => recognize(photo, 'NOWAIT'));
  const results = photos.map((photo) => get(keyOf(photo), 'WAIT', 30000));
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
const meta = await recognize(photos[0], 'WITHMETA');
console.log(['meta', basename(paths[0]), meta.source, meta.sha256].join('\t'));

for await (const path of createInterface({ input: process.stdin })) {
  console.log(['photo', basename(path), await recognise(readFileSync(path))].join('\t'));
}
cluster.disconnect();
