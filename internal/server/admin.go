package server

// Admin is what the operator's API does.
type Admin interface{}

func (s *Server) adminRoutes() []route { return nil }
