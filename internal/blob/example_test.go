package blob_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/blob"
)

// An output is stored, handed out under a signed URL, and served to whoever brings that URL in time.
func Example() {
	dir, err := os.MkdirTemp("", "kinora-example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := blob.OpenFolder(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	signer, err := blob.NewSigner([]byte(strings.Repeat("k", blob.MinSigningKeyBytes)))
	if err != nil {
		fmt.Println(err)
		return
	}

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		expires, err := signer.Verify(r.URL.Path, r.URL.RawQuery, now)
		if err != nil {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		key, err := blob.KeyOf(r.URL.Path)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		object, err := store.Open(r.Context(), key)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer object.Close()
		blob.ServeObject(w, r, object, blob.ServeOptions{MaxAge: time.Hour, Expires: expires, Now: now})
	}))
	defer server.Close()

	const key = "out/2026/11/22/out_01.png"
	if _, err := store.Put(context.Background(), key, strings.NewReader("a picture"), blob.PutOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	for _, life := range []time.Duration{time.Hour, -time.Hour} {
		url, err := signer.URL(server.URL, key, time.Now().Add(life))
		if err != nil {
			fmt.Println(err)
			return
		}
		answer, err := server.Client().Get(url)
		if err != nil {
			fmt.Println(err)
			return
		}
		answer.Body.Close()
		fmt.Println(answer.StatusCode, answer.Header.Get("Content-Type"))
	}
	// Output:
	// 200 image/png
	// 403 text/plain; charset=utf-8
}
