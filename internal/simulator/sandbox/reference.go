package sandbox

import (
	"bytes"
	"context"
	"image"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/kinora/kinora/internal/media"
	"github.com/kinora/kinora/internal/simulator"
)

const (
	maxReference       = 32 << 20 // bytes
	maxReferencePixels = 64 << 20
	referenceTimeout   = 5 * time.Second
)

// references fetches the images that jobs are made from.
type references struct {
	client *http.Client
	own    bool // the client is ours, and reaches this machine only
}

func newReferences(client *http.Client) references {
	if client != nil {
		return references{client: client}
	}
	return references{client: simulator.LoopbackClient(), own: true}
}

func (r references) close() {
	if r.own {
		r.client.CloseIdleConnections()
	}
}

// first fetches an image; nil = it cannot be had.
func (r references) first(ctx context.Context, address string) image.Image {
	if r.own && !onThisMachine(address) {
		return nil // without looking its name up
	}
	ctx, cancel := context.WithTimeout(ctx, referenceTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, maxReference+1))
	if err != nil || res.StatusCode != http.StatusOK || len(content) > maxReference {
		return nil
	}
	img, _, err := media.DecodeImage(bytes.NewReader(content), maxReferencePixels)
	if err != nil {
		return nil
	}
	return img
}

func onThisMachine(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
