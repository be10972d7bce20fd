import unittest

from guestbook import create_app


class Store(list):
    sign = list.append

    def entries(self):
        return self


class GuestbookTest(unittest.TestCase):
    def setUp(self):
        self.client = create_app(Store()).test_client()

    def test_a_signature_is_shown(self):
        self.client.post("/", data={"name": "Ada"})
        self.assertIn("<li>Ada</li>", self.client.get("/").text)

    def test_a_name_is_required(self):
        self.assertEqual(self.client.post("/").status_code, 400)
