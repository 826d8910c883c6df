package browsertest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/dashboard/browsertest"
)

// A model first: the request is shown while it is written, a mistake stands at its field, two clicks make one generation, and it arrives on
// the page. Then a workflow with a photo, whose fields follow the mode. Each is there for the next try.
func TestPlayground(t *testing.T) {
	s := startSite(t, func(c *config.Config) { c.Prices.Models = map[string]config.USD{"sandbox-image": 40_000} })
	p := s.owner(t)
	p.Press("Playground")
	p.At(s.path("/playground"))
	p.See("Nothing yet")
	p.AccessibleInBoth()
	p.Fill("Make with", "model:sandbox-image")
	p.Has("#field-input-prompt")
	p.See("$0.04 if it succeeds")
	p.Fill("Prompt", "a lighthouse </textarea><script>document.title = 'owned'</script>")
	p.SeeIn("#play-preview", "a lighthouse </textarea><script>")
	p.Fill("The model's own fields", "[1]")
	p.SeeIn("#play-preview", "must be a JSON object")
	p.Allow("422")
	p.Press("Generate")
	p.Has("#field-input-metadata-error")
	p.AccessibleInBoth()
	p.Fill("The model's own fields", `{"sandbox": {"delay": "1h"}}`)
	browsertest.Eval[any](p, `{ const go = document.getElementById("play-go"); go.click(); go.click(); }`)
	p.SeeIn("#play-runs", "running")
	s.letGo()
	p.SeeIn("#play-runs", "succeeded")
	p.Until("the picture", `[...document.querySelectorAll("#play-runs img")].some((i) => i.complete && i.naturalWidth > 0)`)
	if made, err := s.client.Generations(t.Context(), client.GenerationFilter{}, ""); err != nil || len(made.Generations) != 1 {
		t.Errorf("two clicks: %+v, %v", made, err)
	}
	p.Gone("#field-input-metadata-error")
	p.Until("the form as it was", `document.getElementById("field-input-prompt").value.startsWith("a lighthouse")`)
	p.AccessibleInBoth()
	p.Picture("playground")

	photo := filepath.Join(t.TempDir(), "room.jpg")
	if err := os.WriteFile(photo, room(t, 900, 640), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Do(chromedp.SetUploadFiles(chromedp.CSS("#play-image"), []string{photo}))
	p.Until("the address of the upload", `/^https?:/.test(document.getElementById("field-input-images").value)`)
	p.Fill("Make with", "workflow:staging")
	p.Has("#field-style_preset")
	p.Do(chromedp.SetUploadFiles(chromedp.CSS("#play-file"), []string{photo}))
	p.Fill("Style", "Modern")
	p.Press("Generate") // without rooms, which the photo needs
	p.Has("#field-room_types-error")
	p.Fill("Mode", "clean")
	p.Gone("#field-room_types-error")
	p.SeeIn("#play-preview", `"mode": "clean"`)
	p.Press("Generate")
	p.Until("the second one", `document.querySelectorAll("#play-runs .play-run").length === 2`)
	p.SeeIn("#play-runs .play-run:first-child", "succeeded")
	p.Size(360, 740)
	p.FitsWidth()
	p.Accessible()
	p.Size(1280, 900)
	p.Reload()
	p.Has(".play-pick img")
	p.Until("both of them", `document.querySelectorAll("#play-runs .play-run").length === 2`)
}
