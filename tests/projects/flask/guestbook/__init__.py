import os

from flask import Flask, redirect, render_template, request

from . import db


def create_app(store=db):
    app = Flask(__name__)
    app.config["DB"] = {
        "host": os.environ.get("DB_HOST", "127.0.0.1"),
        "user": os.environ.get("DB_USER", "guestbook"),
        "password": os.environ.get("DB_PASSWORD", ""),
        "database": os.environ.get("DB_NAME", "guestbook"),
    }

    @app.get("/healthz")
    def healthz():
        return {"status": "ok"}

    @app.get("/")
    def index():
        return render_template("index.html", entries=store.entries())

    @app.post("/")
    def sign():
        store.sign(request.form["name"][:80])
        return redirect("/")

    return app
