import { createApp } from './app.js'
import * as orders from './orders.js'
import * as queue from './queue.js'

const port = process.env.PORT ?? 3000
const server = createApp({ orders, queue }).listen(port, () => console.log(`listening on ${port}`))

process.on('SIGTERM', () => server.close(() => process.exit(0)))
