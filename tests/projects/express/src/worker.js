import * as orders from './orders.js'
import * as queue from './queue.js'

let running = true
process.on('SIGTERM', () => { running = false })

console.log('waiting for orders')
while (running) {
  const id = await queue.pop()
  if (!id) continue
  await orders.ship(id)
  console.log(`shipped order ${id}`)
}
await queue.close()
await orders.close()
