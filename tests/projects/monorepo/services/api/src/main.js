import { createServer } from 'node:http'
import { forecast } from './forecast.js'

const port = process.env.PORT ?? 4000

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://api')
  const body = pathname === '/api/health' ? { status: 'ok' }
    : pathname === '/api/forecast' ? forecast(searchParams.get('city'), process.env.UNITS)
      : undefined
  response.writeHead(body ? 200 : 404, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body ?? { error: 'not found' }))
})

server.listen(port, () => console.log(`api listening on ${port}`))
process.on('SIGTERM', () => server.close(() => process.exit(0)))
