"""The searched spaces, each as a SearchProblem."""
