package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// audience is who may see a page or make a change.
type audience uint8

const (
	anybody  audience = iota // signing in, and what leads to it
	person                   // whoever is signed in
	member                   // whoever has that role in the organisation of the path, or a higher one
	admin                    //
	owner                    //
	operator                 // whoever runs the instance
)

// role is the least one in the organisation; "" = the route is about none.
func (a audience) role() kinora.Role {
	switch a {
	case member:
		return kinora.RoleMember
	case admin:
		return kinora.RoleAdmin
	case owner:
		return kinora.RoleOwner
	}
	return ""
}

// handlerFunc answers a request, or returns the error that is to be shown. It must not return an error after it has begun
// to write, except from a stream.
type handlerFunc func(ctx context.Context, v *visit) error

// route is one page or change. Everything about who may use it stands here, and is checked before the handler is called.
type route struct {
	method  string
	pattern string // behind Prefix
	who     audience
	handler handlerFunc
	// body is the most bytes of a posted form, files included; 0 = maxForm.
	body int64
	// time bounds the work on the request where it may take longer than patience; 0 = patience.
	time time.Duration
	// repeats says that a form may be sent again and again, and is answered anew each time.
	repeats bool
	// streams says that the answer lasts as long as the browser wants.
	streams bool
}

const (
	maxForm = 1 << 20
	// formMemory is how much of a form with files is kept in memory; the rest goes to the disk.
	formMemory = 1 << 20
	// patience bounds the work on one request that is not a stream.
	patience = 30 * time.Second

	organisationPath = "/o/{organisation_id}"
	operatorPath     = "/operator"
)

// allRoutes is everything that is served. Each area registers its own.
func (d *Dashboard) allRoutes() []route {
	return slices.Concat(
		d.setupRoutes(),
		d.signInRoutes(),
		d.providerRoutes(),
		d.invitationRoutes(),
		d.accountRoutes(),
		d.organisationRoutes(),
		d.generationRoutes(),
		d.playgroundRoutes(),
		d.reviewRoutes(),
		d.assetRoutes(),
		d.keyRoutes(),
		d.usageRoutes(),
		d.memberRoutes(),
		d.settingRoutes(),
		d.auditRoutes(),
		d.webhookRoutes(),
		d.generationPageRoutes(),
		d.operatorRoutes(),
	)
}

// mount builds the handler, and refuses a table that says two things at once.
func (d *Dashboard) mount() (http.Handler, error) {
	mux := http.NewServeMux()
	d.served = make(map[string]bool, len(d.routes))
	for i := range d.routes {
		rt := &d.routes[i]
		if (rt.pattern == organisationPath || strings.HasPrefix(rt.pattern, organisationPath+"/")) != (rt.who.role() != "") {
			return nil, fmt.Errorf("dashboard: route %s: organisation in its path, and role, do not go together", rt.pattern)
		}
		if strings.HasPrefix(rt.pattern, operatorPath) != (rt.who == operator) {
			return nil, fmt.Errorf("dashboard: route %s: only the operator's area is for operators alone", rt.pattern)
		}
		mux.HandleFunc(rt.method+" "+Prefix+rt.pattern, func(w http.ResponseWriter, r *http.Request) { d.serve(rt, w, r) })
		d.served[Prefix+rt.pattern] = true
	}
	mux.HandleFunc("GET "+Prefix+"/static/{name}", d.serveFile)
	unknown := &route{handler: func(context.Context, *visit) error { return errNoPage() }}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { d.serve(unknown, w, r) })
	return mux, nil
}

// serve answers one request: what all routes have in common stands here, in the order in which it happens.
func (d *Dashboard) serve(rt *route, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		// Only forms are read, by receive, which bounds them. net/http would read a body behind any other method as well, without
		// bounds, as soon as somebody asks for a field.
		r.Body = http.NoBody
	}
	v := &visit{Dashboard: d, w: w, r: r, route: rt, requestID: w.Header().Get("X-Request-Id")}
	v.headers()
	defer v.forgetFiles()
	ctx, cancel := v.patiently(kinora.WithActor(r.Context(), kinora.Actor{Address: d.cfg.ClientAddress(r)}))
	defer func() { cancel() }()
	err := v.recognise(ctx)
	leave, full := v.enter()
	defer leave()
	if full != nil {
		v.fail(ctx, full)
		return
	}
	if err == nil {
		err = v.admit(ctx)
	}
	if err == nil && r.Method == http.MethodPost {
		// How long a form is on its way is not part of the work on it.
		err = v.checkForm()
		cancel()
		from := r.Context()
		if err != nil { // a form that is late ends the request's context, and whoever sent it is to be told
			from = context.WithoutCancel(from)
		}
		ctx, cancel = v.patiently(from)
	}
	ctx = v.acting(ctx)
	if err == nil {
		v.allowTime()
		err = v.once(ctx, rt.handler)
	}
	if err != nil && !errors.Is(err, errAnswered) {
		v.fail(ctx, err)
	}
}

// allowTime keeps the connection open for as long as the route may take, where that is longer than the server gives requests.
func (v *visit) allowTime() {
	if v.route.time <= patience {
		return
	}
	end, control := time.Now().Add(v.route.time+patience), http.NewResponseController(v.w)
	_ = control.SetReadDeadline(end) // its passing would end the request; a writer that knows no deadlines has none
	_ = control.SetWriteDeadline(end)
}

// serveFile answers with a file that pages load. It takes a place as pages do, whose files are not to be missing where others crowd the door.
func (d *Dashboard) serveFile(w http.ResponseWriter, r *http.Request) {
	v := &visit{Dashboard: d, w: w, r: r, route: &route{}}
	ctx, cancel := v.patiently(r.Context())
	defer cancel()
	_ = v.recognise(ctx) // whoever cannot be recognised now is as a stranger
	leave, err := v.enter()
	defer leave()
	if err != nil {
		http.Error(w, messageOf(err), http.StatusTooManyRequests)
		return
	}
	d.files.ServeHTTP(w, r)
}

// patiently bounds the work on a request that is not a stream.
func (v *visit) patiently(ctx context.Context) (context.Context, context.CancelFunc) {
	if v.route.streams {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, max(patience, v.route.time))
}

// acting is ctx with who asks as its actor.
func (v *visit) acting(ctx context.Context) context.Context {
	if v.who != nil {
		return kinora.WithActor(ctx, v.actor())
	}
	return kinora.WithActor(ctx, kinora.Actor{Address: v.visitor().Address})
}

// admit refuses whoever may not.
func (v *visit) admit(ctx context.Context) error {
	if v.route.who != anybody && v.who == nil {
		return v.askToSignIn()
	}
	if err := v.authorise(ctx); err != nil {
		return err
	}
	if v.organisation != nil && v.r.Method == http.MethodGet && !v.route.streams && !v.isPart() && v.organisation.ID != v.who.LastOrganisation {
		v.cfg.People.UseOrganisation(ctx, v.who.Person.ID, v.organisation.ID)
	}
	return nil
}

// actor is who makes the changes of this visit: a person, or an operator where nothing but that lets them in.
func (v *visit) actor() kinora.Actor {
	p := v.who.Person
	a := kinora.Actor{Kind: kinora.ActorPerson, ID: p.ID, Name: p.Email, Address: v.visitor().Address}
	if v.route.who == operator || v.asOperator() {
		a.Kind = kinora.ActorOperator
	}
	return a
}

// asOperator tells whether who asks is in an organisation that they do not belong to, as operators may be.
func (v *visit) asOperator() bool {
	return v.route.who.role() != "" && v.who.Person.Operator && !v.who.Belongs(v.r.PathValue("organisation_id"))
}

// authorise lets nobody into what is not his. An organisation that he does not belong to answers as one that there is not.
func (v *visit) authorise(ctx context.Context) error {
	if storable(v.r.URL.Path) != v.r.URL.Path {
		return errNoPage() // no id is such a text
	}
	if v.route.who == operator && !v.who.Person.Operator {
		return errNoPage()
	}
	needed := v.route.who.role()
	if needed == "" {
		return nil
	}
	id := v.r.PathValue("organisation_id")
	role := v.who.RoleIn(id)
	if role == "" {
		return errNoPage()
	}
	organisation, err := v.cfg.Organisations.Organisation(ctx, id)
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return errNoPage()
	}
	if err != nil {
		return err
	}
	v.organisation, v.role = organisation, role
	if !role.Covers(needed) {
		return kinora.Errorf(kinora.ErrForbidden, "this needs the role %s in %s; yours is %s", needed, organisation.Name, role)
	}
	return nil
}

func errNoPage() error {
	return kinora.Errorf(kinora.ErrNotFound, "there is no such page, or it is not yours to see")
}
