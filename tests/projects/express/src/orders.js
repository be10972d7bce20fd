import pg from 'pg'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
pool.on('error', (error) => console.error(error.message)) // an idle connection was closed; the next query opens another

export async function list() {
  const { rows } = await pool.query('SELECT id, item, shipped FROM orders ORDER BY id')
  return rows
}

export async function add(item) {
  const { rows } = await pool.query('INSERT INTO orders (item) VALUES ($1) RETURNING id, item, shipped', [item])
  return rows[0]
}

export async function ship(id) {
  await pool.query('UPDATE orders SET shipped = true WHERE id = $1', [id])
}

export const query = (sql, values) => pool.query(sql, values)
export const close = () => pool.end()
