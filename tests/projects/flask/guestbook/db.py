from contextlib import closing

import pymysql
from flask import current_app


def connect():
    connection = pymysql.connect(autocommit=True, **current_app.config["DB"])
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS entries (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(80) NOT NULL)")
    return closing(connection)


def entries():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM entries ORDER BY id")
        return [name for (name,) in cursor.fetchall()]


def sign(name):
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO entries (name) VALUES (%s)", (name,))
