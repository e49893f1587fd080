"""The internet, as far as the vendors' clients may see it: an HTTPS proxy on loopback.

It takes CONNECT for the names of stand-ins, ends TLS itself with a certificate of the test's own authority, and lets
the stand-in answer. So the clients use their real addresses, without an option or a line of theirs changed, and the
examples are tested as they are. Any other name is refused and remembered.
"""

import http.client
import socketserver
import ssl
import threading

import lab


class Internet(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True

    def __init__(self, folder, hosts):
        """hosts has a play function, as lab.serve takes it, for each name."""
        self.hosts = hosts
        self.strangers = []
        self.ca, cert, key = lab.authority(folder, sorted(hosts))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(cert, key)
        super().__init__(("127.0.0.1", 0), Tunnel)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def env(self):
        """What makes the clients come here and trust it."""
        proxy = "http://127.0.0.1:%d" % self.server_address[1]
        return {**dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "http_proxy"), proxy), "REQUESTS_CA_BUNDLE": self.ca, "AWS_CA_BUNDLE": self.ca}

    def handle_error(self, *_):
        pass  # a client that went away


class Tunnel(socketserver.StreamRequestHandler):
    rbufsize = 0  # what follows the head is TLS

    def handle(self):
        target = self.rfile.readline().decode("latin-1").split()
        while self.rfile.readline().strip():
            pass
        host = target[1].rsplit(":", 1)[0] if len(target) == 3 else "nobody"
        if target[:1] != ["CONNECT"] or host not in self.server.hosts:
            self.server.strangers.append(" ".join(target))
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with self.server.tls.wrap_socket(self.connection, server_side=True) as inner:
            type("Handler", (lab.Answers,), {"play": staticmethod(self.server.hosts[host]), "host": host})(inner, self.client_address, self.server)


def forward(port):
    """A play function that asks a server on loopback, under the name that the client used."""

    def play(_host, method, path, query, headers, body):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        assert not query, "a query of the EC2 API is in its body"
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for key, value in headers.items():
            connection.putheader(key, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {"Content-Type": answer.getheader("Content-Type", "text/xml")}, answer.read()

    return play
