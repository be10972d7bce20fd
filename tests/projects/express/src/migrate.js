import { readdir, readFile } from 'node:fs/promises'
import { close, query } from './orders.js'

const folder = new URL('../migrations/', import.meta.url)

await query('CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY)')
const { rows } = await query('SELECT name FROM migrations')
const applied = new Set(rows.map((row) => row.name))
for (const name of (await readdir(folder)).sort()) {
  if (applied.has(name)) continue
  await query(await readFile(new URL(name, folder), 'utf8'))
  await query('INSERT INTO migrations (name) VALUES ($1)', [name])
  console.log(`applied ${name}`)
}
await close()
