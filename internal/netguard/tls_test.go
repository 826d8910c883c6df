package netguard

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// tlsServer serves with a certificate made to order.
func tlsServer(t *testing.T, change func(*x509.Certificate, *tls.Config)) (*httptest.Server, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "receiver.test"}, DNSNames: []string{"receiver.test"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fillHeader(w, r)
		io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // most handshakes here are meant to fail
	server.TLS = &tls.Config{}
	if change != nil {
		change(template, server.TLS)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	server.StartTLS()
	t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return server, pool
}

func TestTLSIsVerified(t *testing.T) {
	for name, tt := range map[string]struct {
		host   string
		change func(*x509.Certificate, *tls.Config)
		trust  bool
		ok     bool
	}{
		"good":          {host: "receiver.test", trust: true, ok: true},
		"trailing dot":  {host: "receiver.test.", trust: true, ok: true},
		"wrong name":    {host: "other.test", trust: true},
		"address":       {host: "127.0.0.1", trust: true},
		"unknown root":  {host: "receiver.test"},
		"expired":       {host: "receiver.test", trust: true, change: func(c *x509.Certificate, _ *tls.Config) { c.NotAfter = time.Now().Add(-time.Hour) }},
		"not yet valid": {host: "receiver.test", trust: true, change: func(c *x509.Certificate, _ *tls.Config) { c.NotBefore = time.Now().Add(time.Hour) }},
		"TLS 1.1": {host: "receiver.test", trust: true, change: func(_ *x509.Certificate, c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}},
	} {
		t.Run(name, func(t *testing.T) {
			server, pool := tlsServer(t, tt.change)
			if !tt.trust {
				pool = x509.NewCertPool()
			}
			g := loopbackGuard(t, func(c *Config) { c.RootCAs = pool })
			var trace Trace
			resp, err := get(t, g.WebhookClient(), WithTrace(t.Context(), &trace), "https://"+tt.host+":"+portIn(t, server.URL)+"/")
			facts := trace.Facts()
			if tt.ok {
				if err != nil {
					t.Fatal(err)
				}
				body, _, _ := ReadBounded(resp.Body, 100)
				if string(body) != "HTTP/2.0" || facts.TLS <= 0 || facts.FirstByte <= 0 {
					t.Errorf("%s, %+v", body, facts)
				}
				return
			}
			var refusal *Refusal
			if err == nil || errors.As(err, &refusal) {
				t.Errorf("got %v, want the network's own error", err)
			}
			if facts.TLS != 0 || facts.FirstByte != 0 || facts.Connect <= 0 || facts.Address != server.Listener.Addr().String() {
				t.Errorf("the trace says %+v", facts)
			}
		})
	}
}
