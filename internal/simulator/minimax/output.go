package minimax

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// address is where an output can be fetched until a time: whoever has it may.
func (s *Simulator) address(host, name string, expires time.Time) string {
	return fmt.Sprintf("%s/cdn/%s?Expires=%d&Signature=%s", host, name, expires.Unix(), s.sign(name, strconv.FormatInt(expires.Unix(), 10)))
}

func (s *Simulator) sign(name, expires string) string {
	mac := hmac.New(sha256.New, s.urlKey[:])
	_, _ = io.WriteString(mac, name+"\n"+expires)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// download draws an output. A false or dead address is answered 403, as object storage does.
func (s *Simulator) download(w http.ResponseWriter, r *http.Request) {
	name, expires := r.PathValue("name"), r.URL.Query().Get("Expires")
	until, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || !hmac.Equal([]byte(s.sign(name, expires)), []byte(r.URL.Query().Get("Signature"))) || s.clock.Now().Unix() >= until {
		http.Error(w, "AccessDenied", http.StatusForbidden)
		return
	}
	base, _, _ := strings.Cut(name, ".")
	fileID, number, _ := strings.Cut(base, "-")
	index, _ := strconv.Atoi(number) // videos have none
	s.mu.Lock()
	j := s.byFile[fileID]
	missing := j == nil || j.deleted
	if !missing {
		j.downloads++
		missing = j.downloads <= j.orders.Count("output_404")
	}
	s.mu.Unlock()
	if missing {
		http.Error(w, "NoSuchKey", http.StatusNotFound)
		return
	}
	s.counts.downloads.Add(1)
	var out bytes.Buffer
	if err := s.draw(r.Context(), &out, j, index); err != nil {
		simulator.Abort()
	}
	w.Header().Set("Content-Type", "video/mp4")
	if j.version == imageV1 {
		w.Header().Set("Content-Type", "image/jpeg")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(out.Bytes()))
}

// draw makes an output's file. The same job gives the same file.
func (s *Simulator) draw(ctx context.Context, out io.Writer, j *job, index int) error {
	select {
	case s.drawing <- struct{}{}:
		defer func() { <-s.drawing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	scene := render.Scene{Prompt: j.prompt, Model: j.model, Index: index, Count: max(j.count, 1), References: j.references, Width: j.width, Height: j.height}
	if j.version == imageV1 {
		return s.renderer.Image(out, scene, render.JPEG)
	}
	scene.Width, scene.Height = within(j.width, j.height, s.cfg.MaxSide)
	return s.renderer.Video(out, scene, j.seconds)
}

// within scales a size down to a longest side, with even sides.
func within(w, h, most int) (int, int) {
	if long := max(w, h); long > most {
		w, h = max(w*most/long, render.MinVideoSide), max(h*most/long, render.MinVideoSide)
	}
	return w &^ 1, h &^ 1
}
