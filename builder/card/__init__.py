"""What people read: facts that were counted, filled into templates, figures and Croissant."""
