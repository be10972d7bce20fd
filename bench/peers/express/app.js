// Express' peer of the service: pg's pool and ioredis, asked at each request.

import express from "express";
import Redis from "ioredis";
import pg from "pg";

const TIMEOUT = 1000;

const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  max: 5,
  connectionTimeoutMillis: TIMEOUT,
  query_timeout: TIMEOUT,
});
const cache = new Redis(process.env.REDIS_URL, {
  connectTimeout: TIMEOUT,
  commandTimeout: TIMEOUT,
  maxRetriesPerRequest: 1,
});

// without a listener the loss of an idle connection ends the process
pool.on("error", (error) => console.error("postgres:", error.message));
cache.on("error", (error) => console.error("redis:", error.message));

const works = (question) => question.then(() => true, () => false);

const app = express();
app.disable("x-powered-by");

app.get("/health", (request, response) => {
  response.json({ status: "pass" });
});

app.get("/health/all", async (request, response) => {
  const [db, redis] = await Promise.all([works(pool.query("SELECT 1")), works(cache.ping())]);
  response.status(db ? 200 : 503).json({
    status: !db ? "fail" : redis ? "pass" : "warn",
    db: db ? "pass" : "fail",
    cache: redis ? "pass" : "fail",
  });
});

const server = app.listen(Number(process.env.PORT), process.env.HOST);

process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
