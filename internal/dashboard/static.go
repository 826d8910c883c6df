package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"

	"github.com/kinora/kinora/internal/dashboard/ui"
)

//go:embed static
var static embed.FS

// staticFiles serves what pages load. Their names hold a part of the hash of what is in them, so that browsers may keep them
// for ever.
type staticFiles struct {
	byName map[string]staticFile
	names  map[string]string // by name in the folder
}

type staticFile struct {
	content     []byte
	contentType string
}

const staticFolder = "static"

func readStatic() (*staticFiles, error) {
	s := &staticFiles{byName: map[string]staticFile{}, names: map[string]string{}}
	for name, contentType := range map[string]string{
		"dashboard.css":                    "text/css; charset=utf-8",
		"dashboard.js":                     "text/javascript; charset=utf-8",
		"icon.svg":                         "image/svg+xml",
		"vendor/htmx-2.0.11.min.js":        "text/javascript; charset=utf-8",
		"vendor/htmx-ext-sse-2.2.4.min.js": "text/javascript; charset=utf-8",
	} {
		content, err := static.ReadFile(path.Join(staticFolder, name))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(name)
		hashed := strings.TrimSuffix(path.Base(name), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		s.byName[hashed] = staticFile{content: content, contentType: contentType}
		s.names[name] = hashed
	}
	return s, nil
}

func (s *staticFiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := s.byName[r.PathValue("name")]
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if !ok {
		h.Set("Cache-Control", "no-store")
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Content-Type", f.contentType)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(f.content)
}

// assets are the addresses of what pages load.
func (d *Dashboard) assets() ui.Assets {
	at := func(name string) string { return d.link("static", d.files.names[name]) }
	return ui.Assets{Stylesheet: at("dashboard.css"), Script: at("dashboard.js"), Icon: at("icon.svg"),
		Htmx: at("vendor/htmx-2.0.11.min.js"), HtmxSSE: at("vendor/htmx-ext-sse-2.2.4.min.js")}
}
