package browsertest_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/dashboard/browsertest"
	"github.com/kinora/kinora/internal/tenancy"
)

// shop is a receiver that shows nothing but what a real one would.
func shop(t *testing.T, status int, body string) string {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(receiver.Close)
	return receiver.URL
}

// The pictures of docs/dashboard.md and the README, of a server that has worked a while: nothing on them is painted, all of it was
// made, sent and counted. make screenshots runs it.
func TestScreenshots(t *testing.T) {
	if !browsertest.Pictures() {
		t.Skip("takes pictures only: make screenshots")
	}
	folder := t.TempDir()
	t.Chdir(folder)
	folder = filepath.Join(folder, "workflows")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "lookbook.yaml"), []byte("name: lookbook\nextends: staging\nreview: true\nrounds: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSite(t, func(c *config.Config) {
		c.WorkflowsDir, c.DataDir = folder, "data" // a name that says nothing of this machine
		c.Webhooks.Schedule = []config.Duration{config.Duration(50 * time.Millisecond), config.Duration(200 * time.Millisecond)}
		c.Prices.Models = map[string]config.USD{"sandbox-image": 40_000, "sandbox-video": 350_000}
	})
	name, hook, budget := "Northlight Studio", shop(t, http.StatusOK, `{"received":true}`)+"/hooks/kinora", kinora.Money(25_000_000)
	if _, err := s.Tenancy().UpdateOrganisation(t.Context(), s.organisation, tenancy.OrganisationChange{Name: &name, DefaultWebhook: &hook,
		Allowance: &kinora.AllowanceChange{Budget: &budget}}); err != nil {
		t.Fatal(err)
	}
	ledger, broken := "Bookkeeping", shop(t, http.StatusBadGateway, `{"error":"upstream connect error","retry":true}`)+"/events"
	if _, err := s.Tenancy().CreateEndpoint(t.Context(), s.organisation, kinora.EndpointChange{Name: &ledger, URL: &broken, EventTypes: &[]string{"generation.failed"}}); err != nil {
		t.Fatal(err)
	}
	p := s.owner(t)
	furnished := s.work(t, p)

	shots := []struct{ name, at string }{
		{"generations", s.path("/generations")},
		{"generation", s.path("/generations/" + furnished)},
		{"webhooks", s.path("/webhooks")},
		{"delivery", s.path("/webhooks/deliveries?state=dead") + " .table .main-cell a"},
		{"playground", s.path("/playground")},
		{"assets", s.path("/assets")},
		{"usage", s.path("/usage")},
		{"operator", "/dashboard/operator"},
		{"review", s.path("/reviews") + " #reviews-begin a"},
	}
	p.Size(1440, 900)
	for _, shot := range shots {
		path, link, _ := strings.Cut(shot.at, " ")
		if matching(s.pages(), path) == "" {
			t.Errorf("there is no page %s", path)
			continue
		}
		p.Go(path)
		if link != "" {
			p.Click(link)
			p.Until("another page", "location.pathname !== "+fmt.Sprintf("%q", strings.Split(path, "?")[0])+" && document.readyState === 'complete'")
		}
		if shot.name == "playground" {
			p.Fill("Make with", "model:sandbox-image")
			p.Fill("Prompt", "Two kites over a quiet bay, late afternoon")
			p.Press("Generate")
			p.SeeIn("#play-runs", "succeeded")
			p.Until("its picture", `document.querySelector("#play-runs img")?.naturalWidth > 0`)
			browsertest.Eval[any](p, "scrollTo({top: 0, behavior: 'instant'})")
		}
		for _, dark := range []bool{false, true} {
			p.Dark(dark)
			scheme := "light"
			if dark {
				scheme = "dark"
			}
			p.Picture("dashboard-" + shot.name + "-" + scheme)
		}
		p.Dark(false)
	}
}

// work has the organisation make what a studio would in a morning, and returns a furnished room's generation.
func (s *site) work(t *testing.T, p *browsertest.Page) (furnished string) {
	t.Helper()
	options := func(delay string, more ...string) map[string]any {
		o := map[string]any{"delay": delay}
		for i := 0; i+1 < len(more); i += 2 {
			o[more[i]] = more[i+1]
		}
		return map[string]any{"sandbox": o}
	}
	for i, one := range []struct {
		model, prompt, reference, size string
		options                        map[string]any
	}{
		{"sandbox-image", "Stoneware mug on a linen tablecloth, soft window light from the left", "sku-20418", "1:1", options("0.6s")},
		{"sandbox-image", "Walnut desk lamp, brushed brass, warm evening interior", "sku-20419", "4:3", options("0.9s")},
		{"sandbox-video", "Slow dolly across a sunlit kitchen, steam rising from a kettle", "spot-autumn-1", "16:9", options("2s")},
		{"sandbox-image", "Hiking boots on wet granite, morning fog in the valley behind", "sku-31007", "3:2", options("0.7s")},
		{"sandbox-image", "Portrait of a violin maker in her workshop, shallow depth of field", "feature-09", "2:3", options("1.1s", "moderation", "output")},
		{"sandbox-image", "Two kites over a quiet bay, late afternoon", "postcard-4", "16:9", options("0.8s")},
		{"sandbox-video", "A paper boat drifts down a rainy street, close to the ground", "spot-autumn-2", "16:9", options("2.4s")},
		{"sandbox-image", "Olive oil bottle, hard shadow, terracotta background", "sku-20977", "1:1", options("0.5s")},
		{"sandbox-image", "Isometric tram depot at dusk, lit windows, light snow", "cover-12", "4:3", options("0.9s")},
		{"sandbox-image", "Wool blanket in ochre folded on a birch bench", "sku-20733", "1:1", options("0.7s", "fail", "generation")},
		{"sandbox-image", "Lighthouse on a basalt cliff, long exposure, blue hour", "postcard-5", "16:9", options("0.6s")},
		{"sandbox-image", "Ceramic planter with a trailing ivy on a balcony in Lisbon", "sku-20801", "4:5", options("0.8s")},
		{"sandbox-video", "Timelapse of clouds over a wheat field, seen from a low hill", "spot-autumn-3", "16:9", options("1.8s")},
		{"sandbox-image", "Rain jacket on a hook beside a blue door, overcast light", "sku-31044", "2:3", options("0.6s")},
		{"sandbox-image", "Espresso machine, macro of the portafilter, chrome reflections", "sku-40112", "1:1", options("0.9s")},
		{"sandbox-image", "Night market stall with paper lanterns, light rain", "feature-10", "3:2", options("0.7s")},
		{"sandbox-image", "Bicycle leaning on a whitewashed wall, noon", "sku-31080", "4:3", options("0.5s")},
		{"sandbox-image", "A fox at the edge of a birch wood, first snow", "postcard-6", "16:9", options("0.6s")},
	} {
		id := s.submitAs(t, client.SubmitRequest{Model: one.model, Reference: one.reference, Metadata: map[string]any{"campaign": "autumn", "row": i + 1},
			Input: client.Input{Prompt: one.prompt, Size: one.size, Metadata: one.options}})
		if _, err := s.client.Wait(t.Context(), id, client.WaitOptions{}); err != nil && t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	stage := func(workflow, reference, mode string, rooms []string, style string, n int) string {
		job, err := s.client.CreateFromFile(t.Context(), client.GenerationRequest{Workflow: workflow, CaptureType: "photo", Mode: mode, RoomTypes: rooms, StylePreset: style,
			Reference: reference}, "room.jpg", bytes.NewReader(interior(t, n)))
		if err != nil {
			t.Fatal(err)
		}
		return job.JobID
	}
	first := stage("staging", "listing-4711", "furnish", []string{"Living Room"}, "Scandinavian", 0)
	stage("staging", "listing-4712", "furnish", []string{"Bedroom"}, "Coastal", 1)
	stage("lookbook", "lookbook-spring-2", "furnish", []string{"Living Room"}, "Mid-Century", 2)
	stage("lookbook", "lookbook-spring-3", "furnish", []string{"Home Office"}, "Modern", 3)
	if _, err := s.client.WaitGeneration(t.Context(), first, client.GenerationWaitOptions{}); err != nil {
		t.Fatal(err)
	}
	p.Go(s.path("/reviews"))
	p.Until("two reviews", `document.querySelectorAll("#reviews-rows tr").length === 2`)

	// What is under way while the pictures are taken; the last one's looks fail, which operators are told of.
	for i, one := range []struct{ model, prompt, reference string }{
		{"sandbox-video", "Hands shaping clay on a wheel, water glistening, dark studio", "spot-winter-1"},
		{"sandbox-video", "Drone rises over a harbour at sunrise, gulls crossing the frame", "spot-winter-2"},
		{"sandbox-image", "Candles on a dinner table, guests out of focus behind", "feature-11"},
	} {
		sandbox := map[string]any{"delay": []string{"90s", "4m", "9m"}[i]}
		if i == 2 {
			sandbox["status_5xx"] = 1 << 20
		}
		s.submitAs(t, client.SubmitRequest{Model: one.model, Reference: one.reference, Input: client.Input{Prompt: one.prompt, Metadata: map[string]any{"sandbox": sandbox}}})
	}
	p.Go(s.path("/generations"))
	p.Until("three that run", `[...document.querySelectorAll("#generations progress, tbody [role=progressbar], tbody progress")].length >= 3`)
	return first
}

// interior is a room in perspective, with a window, a door and a wooden floor; n gives another light.
func interior(t *testing.T, n int) []byte {
	t.Helper()
	const width, height = 1080, 720
	walls := []color.RGBA{{222, 214, 202, 255}, {206, 216, 222, 255}, {214, 210, 196, 255}, {224, 212, 208, 255}}
	shade := func(c color.RGBA, by float64) color.RGBA {
		of := func(v uint8) uint8 { return uint8(max(0, min(255, float64(v)*by))) }
		return color.RGBA{of(c.R), of(c.G), of(c.B), 255}
	}
	wall, wood := walls[n%len(walls)], color.RGBA{164, 124, 84, 255}
	left, right, top, bottom := width*26/100, width*74/100, height*18/100, height*66/100 // of the wall opposite
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			// Where the line from the picture's middle through the point meets the wall opposite, larger than 1 = nearer than it.
			dx, dy := (float64(x)-width/2)/float64(right-width/2), 0.0
			middle := float64(top+bottom) / 2
			dy = (float64(y) - middle) / (float64(bottom) - middle)
			near := max(1, max(dx, -dx), max(dy, -dy))
			c := shade(wall, 1)
			switch {
			case near == 1: // the wall opposite
				if x > left+70 && x < left+270 && y > top+60 && y < bottom-120 {
					c = shade(color.RGBA{196, 222, 242, 255}, 1.1-float64(y-top)/900)
					if x > left+166 && x < left+174 || y > top+146 && y < top+154 {
						c = color.RGBA{246, 244, 240, 255}
					}
				}
				if x > right-150 && x < right-50 && y > top+80 {
					c = color.RGBA{236, 230, 220, 255}
					if x > right-64 && x < right-56 && y > bottom-120 && y < bottom-110 {
						c = color.RGBA{120, 110, 96, 255}
					}
				}
			case dy >= near: // the floor, boards towards the viewer
				board := int(dx/near*9 + 100)
				c = shade(wood, 0.78+float64(board%3)*0.09+0.12/near)
			case -dy >= near:
				c = shade(color.RGBA{244, 242, 238, 255}, 0.9+0.1/near)
			case dx >= near:
				c = shade(wall, 0.82+0.1/near)
			default:
				c = shade(wall, 0.72+0.16/near)
			}
			m.Set(x, y, c)
		}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, m, &jpeg.Options{Quality: 88}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
