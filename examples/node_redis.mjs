// Photos with node-redis (npm install redis), on one server and on a cluster.
//
//     node node_redis.mjs 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input
//
// PACKAGE=redis5 takes version 5.
import { address, run } from './story.mjs';

const { createClient, createCluster } = await import(process.env.PACKAGE ?? 'redis');
const url = `redis://${address}`;

const one = await createClient({ url }).connect();
const isCluster = (await one.info('cluster')).includes('cluster_enabled:1');
one.destroy();

async function connect() {
  const client = isCluster ? createCluster({ rootNodes: [{ url }], RESP: 3 }) : createClient({ url, RESP: 3 });
  client.on('error', () => {}); // a node that has gone; every call says so itself
  await client.connect();
  // In a cluster the first argument tells node-redis the key, and so the node; the second whether a replica may answer.
  const ask = isCluster
    ? (name, key, ...rest) => client.sendCommand(key, false, [name, key, ...rest])
    : (...words) => client.sendCommand(words);
  return { client, ask };
}

const [shared, waiting] = [await connect(), await connect()];
await run(shared.ask, waiting.ask);
shared.client.destroy();
waiting.client.destroy();
