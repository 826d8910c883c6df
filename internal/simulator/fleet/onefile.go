package fleet

import (
	"bytes"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// oneFile answers every download under a path with the same small clip, whatever its signature
// says. It is for measurements, in which drawing a file for each job would take the processors
// from what is measured.
func oneFile(files string, next http.Handler) (http.Handler, error) {
	renderer, err := render.New()
	if err != nil {
		return nil, err
	}
	var clip bytes.Buffer
	scene := render.Scene{Prompt: "every job's", Model: "the same", Count: 1, Width: render.MinVideoSide, Height: render.MinVideoSide}
	if err := renderer.Video(&clip, scene, render.MinSeconds); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !isFile(files, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "video/mp4")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(clip.Bytes()))
	}), nil
}

// isFile tells whether a path is an output's, as kind.files says.
func isFile(files, asked string) bool {
	if strings.Contains(files, "*") {
		matches, _ := path.Match(files, asked) // the patterns are good
		return matches
	}
	return strings.HasPrefix(asked, files)
}
