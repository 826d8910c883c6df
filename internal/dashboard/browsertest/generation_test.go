package browsertest_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/dashboard/browsertest"
)

// room is a picture with edges that a gate can find again.
func room(t *testing.T, width, height int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.RGBA{uint8(210 - y*90/height), uint8(200 - y*70/height), uint8(180 - x*50/width), 255}
			switch {
			case x > width/10 && x < width/3 && y > height/6 && y < height/2:
				c = color.RGBA{150, 200, 240, 255}
			case y > height*2/3:
				c = color.RGBA{130, 95, uint8(60 + x/40%2*30), 255}
			}
			m.Set(x, y, c)
		}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, m, nil); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// From the list to a generation that runs: its state arrives while it is looked at, then its picture and its event. What its caller wrote
// is text. Then one that was made from a photo: source and output over each other, by keyboard; made anew, and cancelled.
func TestGenerationPage(t *testing.T) {
	answered := make(chan struct{}, 8)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered <- struct{}{} }))
	t.Cleanup(receiver.Close)
	s := startSite(t, nil)
	p := s.owner(t)

	const script = `"><script>document.title = "owned"</script><img src=x onerror="document.title = 'owned'">`
	id := s.submitAs(t, client.SubmitRequest{Model: "sandbox-image", Reference: script, Metadata: map[string]any{"note": "</code>" + script},
		Webhook: &client.Webhook{URL: receiver.URL}, Input: client.Input{Prompt: script, Metadata: map[string]any{"sandbox": held}}})
	p.Click("#link-" + id)
	p.At(s.path("/generations/" + id))
	p.SeeIn("#gen-status", "running")
	p.Has("#gen-actions [commandfor=cancel-generation]")
	s.letGo()
	p.SeeIn("#gen-status", "succeeded")
	p.Has("#gen-media .shot img")
	p.Gone("#gen-actions [commandfor=cancel-generation]")
	<-answered
	p.SeeIn("#gen-events", "delivered")
	p.Gone("#gen-stream [sse-connect]") // nothing more will come
	p.Until("the picture", "[...document.images].length > 0 && [...document.images].every((i) => i.complete && i.naturalWidth > 0)")
	p.SeeIn(".gen-prompt-text", script)
	if title := browsertest.Eval[string](p, "document.title"); title != id+" · Kinora" {
		t.Errorf("a script of a caller's has set the title to %q", title)
	}
	p.AccessibleInBoth()

	made, err := s.client.CreateFromFile(t.Context(), client.GenerationRequest{Workflow: "staging", CaptureType: "photo", Mode: "clean", Reference: "listing-4711"}, "room.jpg", bytes.NewReader(room(t, 900, 640)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.WaitGeneration(t.Context(), made.JobID, client.GenerationWaitOptions{}); err != nil {
		t.Fatal(err)
	}
	p.Go(s.path("/generations/" + made.JobID))
	const at = `getComputedStyle(document.querySelector(".compare-view")).getPropertyValue("--at")`
	browsertest.Eval[any](p, `document.querySelector(".compare input").focus()`)
	p.Type(kb.ArrowLeft)
	p.Until("the slider to move", at+` === "49%"`)
	p.Press("Side by side")
	p.Until("both pictures beside each other", `(([a, b]) => a.getBoundingClientRect().right <= b.getBoundingClientRect().left)([document.querySelector(".compare-over"), document.querySelector(".compare-under")])`)
	p.AccessibleInBoth()
	p.Picture("generation")
	p.Size(360, 740)
	p.FitsWidth()
	p.Accessible()
	p.Size(1280, 900)

	p.Press("Regenerate")
	p.At(s.path("/generations/" + made.JobID + "/regenerate"))
	p.AccessibleInBoth()
	p.Fill("Capture type", "floorplan") // has no modes
	p.Gone("[name=mode]")
	p.Fill("Capture type", "photo")
	p.Has("[name=mode]")
	p.Fill("Mode", "furnish") // brings the fields that go with it
	p.Until("a style to be needed", `document.querySelector("[name=style_preset]").required`)
	p.Has("[name=room_types][type=checkbox]")
	p.Picture("regenerate")
	p.Size(360, 740)
	p.FitsWidth()
	p.Size(1280, 900)
	p.Fill("Mode", "clean")
	p.Until("no style to be needed", `!document.querySelector("[name=style_preset]").required`)
	p.Fill("Reference", "listing-4712")
	p.Press("Regenerate")
	p.SeeIn("#flash", "made anew")
	p.See("listing-4712")
	p.SeeIn(".gen-aside", "ada@example.com")

	p.Click(".gen-aside a[href*='/assets/']")
	p.SeeIn("#generations-rows", made.JobID)
	p.AccessibleInBoth()
	p.Picture("asset")
	p.Size(360, 740)
	p.FitsWidth()
	p.Size(1280, 900)

	slow := s.submitAs(t, client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: "never", Metadata: map[string]any{"sandbox": held}}})
	p.Go(s.path("/generations/" + slow))
	p.Press("Cancel")
	p.Press("Cancel the generation")
	p.SeeIn("#gen-status", "cancelled")
}
