import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createApp } from '../src/app.js'

const rows = []
const queued = []
const orders = {
  list: async () => rows,
  add: async (item) => rows[rows.push({ id: rows.length + 1, item, shipped: false }) - 1],
}
const queue = { push: async (id) => queued.push(id) }
let server, url

before(() => new Promise((ready) => {
  server = createApp({ orders, queue }).listen(0, () => {
    url = `http://127.0.0.1:${server.address().port}`
    ready()
  })
}))
after(() => server.close())

const post = (body) =>
  fetch(`${url}/orders`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

test('an order is stored and queued', async () => {
  assert.equal((await post({ item: 'tea' })).status, 201)
  assert.deepEqual(queued, [1])
  assert.deepEqual(await (await fetch(`${url}/orders`)).json(), [{ id: 1, item: 'tea', shipped: false }])
})

test('an order without an item is refused', async () => {
  assert.equal((await post({})).status, 400)
})
