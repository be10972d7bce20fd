import express from 'express'

export function createApp({ orders, queue }) {
  const app = express()
  app.use(express.json())

  app.get('/healthz', (req, res) => res.json({ status: 'ok' }))

  app.get('/orders', async (req, res) => res.json(await orders.list()))

  app.post('/orders', async (req, res) => {
    const item = req.body?.item
    if (!item) return res.status(400).json({ error: 'item is missing' })
    const order = await orders.add(item)
    await queue.push(order.id)
    res.status(201).json(order)
  })

  return app
}
