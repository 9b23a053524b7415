// Photos with ioredis (npm install ioredis), on one server and on a cluster.
//
//     node ioredis.mjs 127.0.0.1:6379 photo.jpg …      a batch; then each photo whose name comes on standard input
//
// PACKAGE=iovalkey takes iovalkey, a fork of it.
import calculateSlot from 'cluster-key-slot'; // ioredis brings it along
import { address, run } from './story.mjs';

const { Cluster, Command, Redis } = await import(process.env.PACKAGE ?? 'ioredis');
const [host, port] = address.split(':');
const node = { host, port: Number(port) };

const one = new Redis(node);
const isCluster = (await one.info('cluster')).includes('cluster_enabled:1');
one.disconnect();

function connect() {
  const client = isCluster ? new Cluster([node]) : new Redis(node);
  client.on('error', () => {}); // a node that has gone; every call says so itself
  // client.call() works too, but ioredis does not know where a module's command has its key: in a cluster it sends a photo to
  // any node, and again to the one that MOVED names. So the command is told its slot.
  const ask = (name, key, ...rest) => {
    const command = new Command(name, [key, ...rest], { replyEncoding: 'utf8' });
    command.slot = calculateSlot(key);
    return client.sendCommand(command);
  };
  return { client, ask };
}

const [shared, waiting] = [connect(), connect()];
await run(shared.ask, waiting.ask);
shared.client.disconnect();
waiting.client.disconnect();
