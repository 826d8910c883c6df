package sandbox

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

var contentTypes = map[string]string{"png": "image/png", "jpeg": "image/jpeg", "mp4": "video/mp4"}

// file is GET /v1/files/{name}: it draws the output that the name stands for. Who
// knows the name may read it, as with a real upstream's signed URLs.
func (s *Server) file(w http.ResponseWriter, r *http.Request) error {
	j, index, nth, err := s.findFile(r.PathValue("name"))
	if err != nil {
		return err
	}
	if j.Options.Output404.hits(nth) {
		return noFile()
	}
	content, err := s.gallery.get(r.Context(), &j.spec, index)
	if err != nil {
		if r.Context().Err() != nil {
			simulator.Abort() // the caller has left
		}
		return err
	}
	w.Header().Set("Content-Type", contentTypes[j.Format])
	switch {
	case j.Options.TruncateDownload.hits(nth):
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:len(content)/2])
		_ = http.NewResponseController(w).Flush()
		simulator.Abort()
	case j.Options.SlowDownload > 0:
		s.drip(w, r, content, time.Duration(j.Options.SlowDownload))
	default:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
	return nil
}

// findFile returns the job and the index that a file's name stands for, and which
// download of the job this is, from 1.
func (s *Server) findFile(name string) (j *job, index, nth int, err error) {
	id, rest, ok := strings.Cut(name, "-")
	number, _, dotted := strings.Cut(rest, ".")
	index, numErr := strconv.Atoi(number)
	if !ok || !dotted || numErr != nil {
		return nil, 0, 0, noFile()
	}
	now := s.clock.Now()
	err = noFile()
	s.jobs.with(id, nil, now, func(found *job) {
		status, _ := found.state(now)
		if status != statusSucceeded || index < 0 || index >= found.Count || name != found.fileName(index) {
			return
		}
		if now.Sub(found.finished) >= s.cfg.URLLife {
			err = problem(http.StatusGone, "gone", "", "the URL has expired")
			return
		}
		s.counts.downloads.Add(1)
		found.downloads++
		j, nth, err = found, found.downloads, nil
	})
	return j, index, nth, err
}

func noFile() *Problem { return problem(http.StatusNotFound, "gone", "", "there is no such file") }

// dripPieces is how many pieces a slow download comes in.
const dripPieces = 20

// drip sends content evenly over a time.
func (s *Server) drip(w http.ResponseWriter, r *http.Request, content []byte, over time.Duration) {
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	rc := http.NewResponseController(w)
	piece := len(content)/dripPieces + 1
	for body := bytes.NewReader(content); body.Len() > 0; {
		s.hold(r.Context(), over/dripPieces)
		if _, err := io.CopyN(w, body, int64(piece)); err != nil && !errors.Is(err, io.EOF) {
			return // the caller has left
		}
		_ = rc.Flush()
	}
}
