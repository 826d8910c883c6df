package comfyui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// maxUpload is the largest file that the simulator keeps.
const maxUpload = 32 << 20

// upload is POST /upload/image.
func (s *Simulator) upload(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload+1<<20)
	f, header, err := r.FormFile("image")
	if err != nil {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	if err != nil {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	name, folder := path.Base(header.Filename), r.FormValue("subfolder")
	s.mu.Lock()
	s.uploads[path.Join(folder, name)] = content
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]string{"name": name, "subfolder": folder, "type": "input"})
}

// outputs are what a job's nodes saved, by node and by what it is.
func (j *job) outputs() map[string]any {
	out := map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(j.graph)) {
		c := classes()[j.graph[id].Class]
		if c.makes == "" {
			continue
		}
		typ, extension, count := "output", "png", int(j.find("batch_size", 1))
		if c.temp {
			typ = "temp"
		}
		if c.makes == "video" {
			extension, count = "mp4", 1
		}
		prefix, _ := j.graph[id].Inputs["filename_prefix"].(string)
		var files []any
		for i := range count {
			name := fmt.Sprintf("%s_%s_%05d_.%s", path.Base(prefix), j.id, i+1, extension)
			files = append(files, map[string]string{"filename": name, "subfolder": strings.Trim(path.Dir(prefix), "."), "type": typ})
		}
		made := map[string]any{c.makes: files}
		if c.makes == "video" {
			made["animated"] = []bool{true}
		}
		out[id] = made
	}
	return out
}

// find is the first number of a name among the nodes' inputs.
func (j *job) find(name string, otherwise float64) float64 {
	for _, id := range slices.Sorted(maps.Keys(j.graph)) {
		if v, ok := j.graph[id].Inputs[name].(json.Number); ok {
			if n, err := v.Float64(); err == nil {
				return n
			}
		}
	}
	return otherwise
}

// view is GET /view: an output of a job, drawn when it is asked for.
func (s *Simulator) view(w http.ResponseWriter, r *http.Request) {
	name, typ := r.URL.Query().Get("filename"), r.URL.Query().Get("type")
	s.mu.Lock()
	if content, ok := s.uploads[path.Join(r.URL.Query().Get("subfolder"), name)]; ok && typ == "input" {
		s.mu.Unlock()
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
		return
	}
	var found *job
	for id, j := range s.jobs {
		if strings.Contains(name, "_"+id+"_") && !j.ended.IsZero() {
			found = j
		}
	}
	s.mu.Unlock()
	if found == nil || typ != "output" && typ != "temp" {
		http.NotFound(w, r)
		return
	}
	content, err := s.draw(r, found, name)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}

// draw makes a file; the same job and name always have the same.
func (s *Simulator) draw(r *http.Request, j *job, name string) ([]byte, error) {
	select {
	case s.drawing <- struct{}{}:
		defer func() { <-s.drawing }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	var index int
	_, _ = fmt.Sscanf(name[strings.Index(name, j.id)+len(j.id):], "_%05d_", &index) // 0 is as good
	video := strings.HasSuffix(name, ".mp4")
	width, height := int(j.find("width", 512)), int(j.find("height", 512))
	most := render.MaxSide
	if video {
		most = render.MaxVideoSide
	}
	if s.cfg.MaxSide > 0 {
		most = min(most, s.cfg.MaxSide)
	}
	if long := max(width, height); long > most {
		width, height = width*most/long, height*most/long
	}
	even := func(n int) int { return max(n/2*2, render.MinVideoSide) }
	scene := render.Scene{
		Prompt: j.text, Model: "ComfyUI", Seed: int64(j.find("seed", 0)) + int64(index), Count: 1, Width: even(width), Height: even(height),
	}
	var out bytes.Buffer
	var err error
	if video {
		err = s.renderer.Video(&out, scene, max(1, min(int(j.find("length", 1)/max(1, j.find("fps", 16))), render.MaxSeconds)))
	} else {
		err = s.renderer.Image(&out, scene, render.PNG)
	}
	return out.Bytes(), err
}
