#!/usr/bin/env bash
# nginx 1.22.1 (Debian 12) before a stream of small pieces, with proxy_buffering at its default, which is on.
# Expected, as guides for server-sent events have it: the pieces wait until a buffer of 4 or 8 KiB is full.
# Seen: they do where the server behind it ends its answer by closing. Where it sends chunks, as servers of HTTP/1.1 do,
# each is passed on when it comes; unless nginx compresses, too: then nothing comes, not even the head.
# Exits with 1 if that has changed.
set -euo pipefail
dir=$(mktemp -d); chmod 755 "$dir"; trap 'kill "${server:-}" "${proxy:-}" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -qq nginx=1.22.1-9+deb12u11 2> /dev/null
dpkg-deb --extract nginx_*.deb nginx
cat > server.py <<'PY'
import http.server, time
class Stream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        in_chunks = self.path == "/chunks"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header(*(("Transfer-Encoding", "chunked") if in_chunks else ("Connection", "close")))
        self.end_headers()
        try:
            for n in range(30):
                piece = b"data: %d\n\n" % n
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if in_chunks else piece)
                time.sleep(0.1)
        except OSError:
            self.close_connection = True
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 server.py > port & server=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
listen() { # path, more configuration → how many bytes have come within two seconds
  cat > nginx.conf <<CONF
daemon off; pid $dir/pid; error_log stderr error;
events {}
http {
  access_log off; client_body_temp_path $dir/a; proxy_temp_path $dir/b; fastcgi_temp_path $dir/c; uwsgi_temp_path $dir/d;
  scgi_temp_path $dir/e; proxy_http_version 1.1; $2
  server { listen unix:$dir/socket; location / { proxy_pass http://127.0.0.1:$(cat port); } }
}
CONF
  nginx/usr/sbin/nginx -p "$dir" -c "$dir/nginx.conf" & proxy=$!
  for _ in $(seq 100); do [ -S socket ] && break; sleep 0.1; done
  curl --silent --no-buffer --max-time 2 --header "Accept-Encoding: gzip" --unix-socket socket "http://localhost$1" > heard || true
  kill "$proxy"; wait "$proxy" || true; rm -f socket
  wc --bytes < heard
}
closing=$(listen /closing "")
chunks=$(listen /chunks "")
packed=$(listen /chunks "gzip on; gzip_types *; gzip_proxied any;")
echo "nginx 1.22.1: within two seconds came $closing bytes without chunks, $chunks in chunks, $packed of chunks with gzip"
[ "$closing" -eq 0 ] && [ "$chunks" -gt 50 ] && [ "$packed" -eq 0 ]
