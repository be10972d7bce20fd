#!/bin/sh
# What the genuine image's entrypoint does, as far as our tests see it: the first start on an empty volume makes the
# system tables, root's password, the database and its user; root steps down.
set -eu

file_env() { # NAME: its value, of NAME or of the file that NAME_FILE names
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    # shellcheck disable=SC2154 # both are set by eval
    if [ -n "$file" ]; then value=$(cat "$file"); fi
    export "$1=$value"
}

if [ "$1" = mariadbd ] && [ "$(id -u)" = 0 ]; then
    for name in ROOT_PASSWORD USER PASSWORD DATABASE; do
        file_env "MARIADB_$name"
        file_env "MYSQL_$name"
    done
    if [ ! -d /var/lib/mysql/mysql ]; then
        cp -a /usr/share/first/. /var/lib/mysql
        database=${MARIADB_DATABASE:-$MYSQL_DATABASE}
        user=${MARIADB_USER:-$MYSQL_USER}
        password=${MARIADB_PASSWORD:-$MYSQL_PASSWORD}
        root=${MARIADB_ROOT_PASSWORD:-$MYSQL_ROOT_PASSWORD}
        {
            echo "FLUSH PRIVILEGES;"
            if [ -n "$database" ]; then echo "CREATE DATABASE \`$database\`;"; fi
            if [ -n "$user" ]; then
                echo "CREATE USER '$user'@'%' IDENTIFIED BY '$password';"
                echo "GRANT ALL ON \`$database\`.* TO '$user'@'%';"
            fi
            echo "CREATE USER 'root'@'%' IDENTIFIED BY '$root';"
            echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
            echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$root';"
        } | mariadbd --user=mysql --datadir=/var/lib/mysql --bootstrap --skip-networking >/dev/null 2>&1
    fi
    exec setpriv --reuid=mysql --regid=mysql --clear-groups "$@" --bind-address=0.0.0.0
fi
exec "$@"
