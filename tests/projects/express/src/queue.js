import { createClient } from 'redis'

const client = await createClient({ url: process.env.REDIS_URL }).on('error', console.error).connect()

export const push = (id) => client.lPush('orders', String(id))

export async function pop() {
  const found = await client.brPop('orders', 1)
  return found && Number(found.element)
}

export const close = () => client.close()
