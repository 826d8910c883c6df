package browsertest_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/dashboard/browsertest"
	"github.com/kinora/kinora/internal/tenancy"
)

// look holds a page against the rules for accessible pages, in both colours and at the width of a phone, and takes its picture.
func look(p *browsertest.Page, name string) {
	p.Helper()
	p.AccessibleInBoth()
	p.Picture(name)
	p.Dark(true)
	p.Picture(name + "-dark")
	p.Dark(false)
	p.Size(360, 740)
	p.FitsWidth()
	p.Size(390, 844)
	p.Picture(name + "-phone")
	p.Size(1280, 800)
}

// An admin's way: a key is made, used, rotated and revoked, and what was made with it stands in usage and ledger.
func TestKeysAndUsage(t *testing.T) {
	s := startSite(t, func(c *config.Config) { c.Prices.Models = map[string]config.USD{"sandbox-image": 350_000} })
	budget := kinora.Money(1_000_000)
	if _, err := s.Tenancy().UpdateOrganisation(t.Context(), s.organisation, tenancy.OrganisationChange{Allowance: &kinora.AllowanceChange{Budget: &budget}}); err != nil {
		t.Fatal(err)
	}
	began := time.Now().UTC()
	id := s.submit(t, "a kite over the dunes")
	p := s.owner(t)
	p.Size(1280, 800)
	p.SeeIn("#row-"+id, "succeeded")

	p.Press("Usage")
	p.Press("7 days")
	// A budget is a month's, and the month may have turned since.
	p.Until("what is spent of the budget", `((text) => text.includes("$0.35 of the budget of $1.00 is spent or reserved.") ||
		new Date().getUTCMonth() !== `+fmt.Sprint(int(began.Month())-1)+` && text.includes("$0.00 of the budget of $1.00"))(document.body.innerText)`)
	p.Has(".chart-bars .series-1")
	p.Press("Cost as a table")
	look(p, "usage")
	p.Size(1280, 1700)
	p.Picture("usage-long")
	p.Size(1280, 800)
	p.Press("Ledger")
	p.See(id)
	look(p, "ledger")
	p.Size(360, 740)
	p.Until("the button for CSV", "[...document.querySelectorAll('button')].some((b) => b.innerText === 'Download as CSV' && b.checkVisibility())")
	p.Size(1280, 800)

	p.Press("API keys")
	p.Press("Create a key")
	p.Has("#field-name")
	look(p, "key-new")
	p.Fill("Name", "catalogue in production")
	p.Fill("It ends", "90")
	p.Press("Create the key")
	p.Has(".secret")
	look(p, "key-made")
	p.Press("Back to the keys")
	p.Press("Rotate catalogue in production")
	p.Fill("The old key goes on for", "24")
	p.Accessible()
	p.Picture("key-rotate")
	p.Press("Make the new key")
	p.Has(".secret")
	p.Press("Back to the keys")
	p.See("replaced, ends soon")
	p.Press("Revoke default")
	p.Press("Revoke the key")
	p.See("The key has been revoked.")
	look(p, "keys")
}

// An image is sent by the form and arrives while the gallery is looked at; what cannot be taken says why.
func TestAssets(t *testing.T) {
	s := startSite(t, nil)
	p := s.owner(t)
	p.Size(1280, 800)
	p.Press("Assets")
	p.See("No assets yet")
	p.AccessibleInBoth()
	p.Press("Add an image")
	p.Has("#field-file")
	look(p, "asset-new")

	picture := image.NewRGBA(image.Rect(0, 0, 900, 600))
	draw.Draw(picture, picture.Bounds(), image.NewUniform(color.RGBA{79, 70, 229, 255}), image.Point{}, draw.Src)
	draw.Draw(picture, image.Rect(300, 200, 600, 400), image.NewUniform(color.RGBA{240, 153, 90, 255}), image.Point{}, draw.Src)
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		t.Fatal(err)
	}
	p.File("File", "kite.png", "image/png", file.Bytes())
	p.Press("Add the image")
	p.See("The image is being taken in.")
	p.SeeIn(".gallery", "900 × 600")
	p.Until("the picture", "[...document.querySelectorAll('.gallery img')].some((i) => i.naturalWidth > 0)")
	look(p, "assets")

	p.Press("Add an image")
	p.Allow("422")
	p.File("File", "note.txt", "text/plain", []byte("this is no picture"))
	p.Press("Add the image")
	p.Has("#field-file-error")
	p.Accessible()
	p.Go(s.path("/assets"))
	p.Click(".gallery-picture")
	p.See("SHA-256")
	look(p, "asset")
	p.Press("Delete")
	p.Press("Delete the asset")
	p.See("No assets yet")
}

// An owner's way: somebody is invited and taken back, the organisation gets another name, and the audit log has all of it.
func TestOwnersWay(t *testing.T) {
	s := startSite(t, nil)
	p := s.owner(t)
	p.Size(1280, 800)

	p.Press("Members")
	p.At(s.path("/members"))
	p.Press("Invite somebody")
	p.Fill("E-mail address", "grace.hopper.with.a.rather.long.address@department-of-compilers.example.com")
	p.Fill("Role", "admin")
	p.Press("Invite")
	p.Has(".secret")
	if link := p.Text(".secret-value code"); !strings.HasPrefix(link, p.Site+"/dashboard/invitation?token=kinv_") {
		t.Errorf("the invitation's link is %s", link)
	}
	look(p, "invitation")
	p.Press("Back to the members")
	p.See("Invitations")
	look(p, "members")
	p.Press("Change role grace.hopper.with.a.rather.long.address@department-of-compilers.example.com")
	p.Fill("Role", "owner")
	p.Accessible()
	p.Picture("member-role")
	p.Press("Change the role")
	p.See("The role has been changed to owner.")
	p.Press("Revoke grace.hopper.with.a.rather.long.address@department-of-compilers.example.com")
	p.Press("Revoke the invitation")
	p.See("The membership has been ended.")

	p.Press("Settings")
	p.Fill("Name", "Kites & Sons")
	p.Press("Rename")
	p.See("The organisation is called Kites & Sons now.")
	look(p, "settings")

	p.Press("Audit log")
	p.See("changed the organisation: name")
	p.Press("Detail")
	look(p, "audit")
	p.Fill("What", "member.")
	p.Press("Apply")
	p.See("invited grace.hopper")
	p.Fill("Of (id)", "nothing")
	p.Press("Apply")
	p.See("Nothing matches")
}
