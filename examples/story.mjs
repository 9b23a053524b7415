// What the programs in JavaScript share: they recognise the photos named on the command line as one batch, then a photo for
// each name that comes on standard input, and print a line for each: the step, the photo's name, the result or the error.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export const [address, ...paths] = process.argv.slice(2);
export const keyOf = (photo) => 'image:' + createHash('sha256').update(photo).digest('hex');

// Errors that would come again with the same photo. Others, and connections that are lost, pass.
const FINAL = ['BADIMAGE', 'NOMODEL', 'WRONGTYPE', 'NOPERM', 'ERR', 'FAILED', 'NOWAITING'];

// Sends with NOWAIT on one connection, which stays free, and waits on another one: Redis handles nothing more of a connection
// whose client waits. `shared` and `waiting` each take a command's name, its key, and the rest.
export async function recognise(shared, waiting, photo) {
  const key = keyOf(photo);
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      let result = await shared('IMAGE.GET', key);
      if (result === null) {
        await shared('IMAGE.RECOGNIZE', key, photo, 'NOWAIT');
        result = await waiting('IMAGE.GET', key, 'WAIT', '30000');
      }
      if (result !== null) return result;
    } catch (error) {
      if (FINAL.includes(error.message.split(' ')[0])) return error.message;
    }
    await sleep(100 * 2 ** attempt);
  }
  return `${key}: given up`;
}

// WITHMETA is a map in RESP3 and a flat list in RESP2.
const fields = (reply) =>
  Array.isArray(reply)
    ? Object.fromEntries(reply.flatMap((name, i) => (i % 2 ? [] : [[String(name), String(reply[i + 1])]])))
    : reply instanceof Map ? Object.fromEntries(reply) : reply;

const tell = (step, path, ...values) => console.log([step, basename(path), ...values].join('\t'));

export async function run(shared, waiting) {
  const photos = paths.map((path) => readFileSync(path));
  const results = await Promise.all(photos.map((photo) => recognise(shared, waiting, photo)));
  results.forEach((result, i) => tell('batch', paths[i], result));
  tell('get', paths[0], await shared('IMAGE.GET', keyOf(photos[0])));
  const meta = fields(await shared('IMAGE.RECOGNIZE', keyOf(photos[0]), photos[0], 'WITHMETA'));
  tell('meta', paths[0], meta.source, meta.sha256);
  for await (const path of createInterface({ input: process.stdin })) {
    tell('photo', path, await recognise(shared, waiting, readFileSync(path)));
  }
}
