"""Images: registered by the api, inspected before anything else reads them, cached by digest on each host."""
