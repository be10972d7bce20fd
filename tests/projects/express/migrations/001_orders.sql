CREATE TABLE orders (
  id serial PRIMARY KEY,
  item text NOT NULL,
  shipped boolean NOT NULL DEFAULT false
);
