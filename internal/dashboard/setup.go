package dashboard

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
)

// The first person of an instance, made by the link that the server's first start prints.
func (d *Dashboard) setupRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/setup", who: anybody, handler: d.setupPage},
		{method: http.MethodPost, pattern: "/setup", who: anybody, handler: d.setup},
	}
}

// newPersonForm is a page on which somebody gives what a person is made of.
type newPersonForm struct {
	Title, Lead string
	Action      string
	Token       string // of the link
	Email       string
	FixedEmail  bool // the link says it
	Name        string
	AskName     bool
	Submit      string
	Errors      map[string]string // by field; "" = of the whole
}

func (d *Dashboard) setupForm(v *visit) newPersonForm {
	return newPersonForm{Title: "Set up Kinora", Lead: "You become the operator of this server, and the owner of its organisations.",
		Action: v.link("setup"), Token: v.given("token"), AskName: true, Submit: "Create the account"}
}

func (d *Dashboard) setupPage(ctx context.Context, v *visit) error {
	return v.showBare(ctx, http.StatusOK, "Set up", newPersonBody(d.setupForm(v)))
}

func (d *Dashboard) setup(ctx context.Context, v *visit) error {
	f := d.setupForm(v)
	f.Email, f.Name = v.form("email"), v.form("name")
	if v.form("password") != v.form("again") {
		f.Errors = map[string]string{"again": "the two passwords are not the same"}
		return v.showBare(ctx, http.StatusUnprocessableEntity, "Set up", newPersonBody(f))
	}
	p := kinora.NewPerson{Email: f.Email, Name: f.Name, Password: v.form("password")}
	session, err := d.cfg.People.Setup(ctx, f.Token, p, v.visitor())
	switch kinora.CodeOf(err) {
	case "":
		v.begin(session)
		return v.redirect(v.link())
	case kinora.ErrInvalid, kinora.ErrNotFound, kinora.ErrConflict:
		f.Errors = fieldErrors(err)
		if kinora.CodeOf(err) == kinora.ErrNotFound {
			f.Errors = map[string]string{"": "This link has been used already or is too old. Run kinora setup-link for a new one."}
		}
		return v.showBare(ctx, failures[kinora.CodeOf(err)].status, "Set up", newPersonBody(f))
	}
	return err
}
